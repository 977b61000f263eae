"""A registry reached over Confluent's REST interface, whoever runs it."""

from __future__ import annotations

import json
from threading import RLock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vagus.errors import IncompatibleSchema, RegistryUnavailable, SchemaError, nearest
from vagus.events.grammar import same_text
from vagus.events.registry import check_level, unknown_id
from vagus.hub.rest import Access, Refusal, Rest

if TYPE_CHECKING:
    from vagus.events.compatibility import Level

__all__ = ["ConfluentRegistry"]

_NO_SUBJECT = 40401
_NO_VERSION = 40402
_NO_SCHEMA = 40403
_NO_LEVEL = 40408
_INCOMPATIBLE = 409
_MISSING = (_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA, _NO_LEVEL, 404)


class ConfluentRegistry:
    """The registry at `url`. Safe to use from several threads. Making one does no I/O.

    What has an id is asked for once. Raises RegistryUnavailable, within ten seconds, if the
    registry can't be reached or refuses us. Without `access`, the environment says who we are.

    >>> registry = ConfluentRegistry("http://user:secret@localhost:8081")
    >>> registry.url
    'http://localhost:8081'
    """

    def __init__(self, url: str, access: Access | None = None) -> None:
        self._rest = Rest(url, access)
        self._lock = RLock()
        self._schemas: dict[int, str] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._versions: dict[tuple[str, int], int] = {}

    @property
    def url(self) -> str:
        """Where the registry is, without any password."""
        return self._rest.url

    def register(self, subject: str, schema_json: str) -> int:
        """See `Registry.register`."""
        wanted = (subject, same_text(schema_json))
        with self._lock:
            known = self._ids.get(wanted)
        if known is not None:
            return known
        try:
            said = self._rest.call(
                "POST", f"/subjects/{_path(subject)}/versions", {"schema": schema_json}
            )
        except Refusal as refusal:
            if refusal.code == _INCOMPATIBLE:
                raise IncompatibleSchema(
                    refusal.message,
                    where=f"subject {subject} of {self.url}",
                    hint="`vagus schema check` says which field, and how to mend it",
                ) from None
            raise self._error(refusal, f"subject {subject}") from None
        schema_id = int(self._member(said, "id"))
        with self._lock:
            self._ids[wanted] = schema_id
        return schema_id

    def schema(self, schema_id: int) -> str:
        """The schema with that id. Raises SchemaError if there is none, or if it is no Avro."""
        with self._lock:
            known = self._schemas.get(schema_id)
        if known is not None:
            return known
        try:
            said = self._rest.call("GET", f"/schemas/ids/{schema_id}")
        except Refusal as refusal:
            if refusal.code in _MISSING:
                raise unknown_id(schema_id) from None
            raise self._error(refusal, f"schema {schema_id}") from None
        text = str(self._member(said, "schema"))
        kind = said.get("schemaType") or "AVRO"
        if kind != "AVRO" or said.get("references"):
            what = "one that names other subjects" if kind == "AVRO" else kind
            raise SchemaError(
                f"expected an Avro schema by itself, got {what}, id {schema_id}", where=self.url
            )
        with self._lock:
            self._schemas[schema_id] = text
        return text

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        return sorted(map(str, self._list(self._asked("/subjects", "the subjects"))))

    def versions(self, subject: str) -> list[tuple[int, int]]:
        """The subject's versions, oldest first, each as (version, schema id)."""
        path = f"/subjects/{_path(subject)}/versions"
        try:
            numbers = self._rest.call("GET", path)
        except Refusal as refusal:
            if refusal.code in _MISSING:
                raise SchemaError(
                    f"no subject {subject!r}",
                    where=self.url,
                    hint=nearest(subject, self.subjects()) or "`vagus schema list` shows all",
                ) from None
            raise self._error(refusal, f"subject {subject}") from None
        known = sorted(map(int, self._list(numbers)))
        return [(number, self._id_of(subject, number)) for number in known]

    def level(self, subject: str | None = None) -> Level:
        """The compatibility that the subject asks of new versions; None for the default."""
        said: Any = None
        if subject is not None:
            try:
                said = self._rest.call("GET", f"/config/{_path(subject)}")
            except Refusal as refusal:
                if refusal.code not in _MISSING:
                    raise self._error(refusal, f"subject {subject}") from None
        if said is None:
            said = self._asked("/config", "the level")
        level: Level = self._member(said, "compatibilityLevel")
        return level

    def set_level(self, subject: str | None, level: Level) -> None:
        """Set a subject's level, or with None the default one."""
        check_level(level)
        path = "/config" if subject is None else f"/config/{_path(subject)}"
        try:
            self._rest.call("PUT", path, {"compatibility": level})
        except Refusal as refusal:
            raise self._error(refusal, f"subject {subject}" if subject else "the level") from None

    def _id_of(self, subject: str, number: int) -> int:
        with self._lock:
            known = self._versions.get((subject, number))
        if known is None:
            path = f"/subjects/{_path(subject)}/versions/{number}"
            known = int(self._member(self._asked(path, f"subject {subject}"), "id"))
            with self._lock:
                self._versions[subject, number] = known
        return known

    def _asked(self, path: str, what: str) -> Any:
        try:
            return self._rest.call("GET", path)
        except Refusal as refusal:
            raise self._error(refusal, what) from None

    def _member(self, said: Any, name: str) -> Any:
        if not isinstance(said, dict) or name not in said:
            raise self._strange(repr(name), said)
        return said[name]

    def _list(self, said: Any) -> list[Any]:
        if not isinstance(said, list):
            raise self._strange("a list", said)
        return said

    def _strange(self, wanted: str, said: Any) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"expected an answer of a schema registry with {wanted}, got {json.dumps(said)[:80]}",
            where=self.url,
            hint="see that --registry or VAGUS_REGISTRY names one",
        )

    def _error(self, refusal: Refusal, what: str) -> SchemaError:
        return SchemaError(
            f"the schema registry refused: {refusal.message} ({refusal.code})",
            where=f"{what} of {self.url}",
        )


def _path(subject: str) -> str:
    return quote(subject, safe="")
