"""What the registry answers to each request, but for HTTP itself.

Confluent's documentation says what each is to do: the names of its parameters are used here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from vagus.errors import IncompatibleSchema, SchemaError
from vagus.events.compatibility import LEVELS, check_compatibility
from vagus.events.grammar import check_schema
from vagus.hub.subjects import (
    DEFAULT_LEVEL,
    DEFAULT_MODE,
    MODES,
    Change,
    Subjects,
    Version,
    level_change,
    mode_change,
)
from vagus.serve.registry import refusal

if TYPE_CHECKING:
    from vagus.events.compatibility import Level
    from vagus.hub.schemas import HubRegistry
    from vagus.hub.subjects import Mode

_Result = TypeVar("_Result")
_VERSIONS = range(1, 1 << 31)


@dataclass(frozen=True, slots=True)
class Flags:
    """The switches of a request's query."""

    deleted: bool = False
    deleted_only: bool = False
    permanent: bool = False
    verbose: bool = False
    default_to_global: bool = False


class Answers:
    """Answers with what a hub's registry knows. Raises Refusal for what is to be refused."""

    def __init__(self, registry: HubRegistry) -> None:
        self._registry = registry

    # Subjects and versions

    def subjects(self, prefix: str, flags: Flags) -> list[str]:
        """The names of the subjects."""
        with self._registry.contents() as subjects:
            names = subjects.names(deleted=flags.deleted or flags.deleted_only)
            if flags.deleted_only:
                live = set(subjects.names())
                names = [name for name in names if name not in live]
        return [name for name in names if name.startswith(prefix)]

    def versions(self, subject: str, flags: Flags) -> list[int]:
        """The numbers of a subject's versions."""
        with self._registry.contents() as subjects:
            found = subjects.versions(subject, deleted=flags.deleted or flags.deleted_only)
        if flags.deleted_only:
            found = [version for version in found if version.deleted]
        if not found:
            raise refusal.no_subject(subject)
        return [version.number for version in found]

    def version(self, subject: str, text: str, flags: Flags) -> dict[str, Any]:
        """One version of a subject, with its schema."""
        with self._registry.contents() as subjects:
            return _described(_version(subjects, subject, text, deleted=flags.deleted))

    def referencedby(self, subject: str, text: str) -> list[int]:
        """The ids of the schemas that refer to a version."""
        with self._registry.contents() as subjects:
            wanted = _version(subjects, subject, text)
            return sorted({each.schema_id for each in _referring(subjects, wanted)})

    def register(self, subject: str, body: dict[str, Any]) -> dict[str, Any]:
        """The id of a schema, which becomes the subject's newest version if it is not one."""
        if not subject or not subject.isprintable():
            raise refusal.bad_subject(subject)
        text = _schema_of(body)
        numbers = [body.get(name) for name in ("id", "version")]

        def decide(subjects: Subjects) -> tuple[Version, Sequence[Change]]:
            if subjects.find(subject, text) is None:
                if subjects.mode_of(subject) == "READONLY":
                    raise refusal.read_only(subject)
                if any(isinstance(number, int) and number > 0 for number in numbers):
                    raise refusal.no_import(subject)
            try:
                return subjects.registration(subject, text)
            except IncompatibleSchema as error:
                raise refusal.incompatible(subject, str(error)) from None

        return {"id": self._registry.change(decide).schema_id}

    def lookup(self, subject: str, body: dict[str, Any], flags: Flags) -> dict[str, Any]:
        """The version of the subject that is this schema."""
        text = _schema_of(body)
        with self._registry.contents() as subjects:
            if not subjects.versions(subject, deleted=flags.deleted):
                raise refusal.no_subject(subject)
            found = subjects.find(subject, text, deleted=flags.deleted)
        if found is None:
            raise refusal.no_such_schema()
        return _described(found)

    def delete_subject(self, subject: str, flags: Flags) -> list[int]:
        """The numbers of the versions that were deleted."""

        def decide(subjects: Subjects) -> tuple[list[int], Sequence[Change]]:
            every = subjects.versions(subject, deleted=True)
            if not every:
                raise refusal.no_subject(subject)
            live = [version for version in every if not version.deleted]
            if flags.permanent and live:
                raise refusal.subject_there(subject)
            if not flags.permanent and not live:
                raise refusal.subject_gone(subject)
            chosen = every if flags.permanent else live
            _check_deletable(subjects, chosen)
            changes = subjects.deletion(chosen, permanent=flags.permanent)
            return [version.number for version in chosen], changes

        return self._registry.change(decide)

    def delete_version(self, subject: str, text: str, flags: Flags) -> int:
        """The number of the version that was deleted."""

        def decide(subjects: Subjects) -> tuple[int, Sequence[Change]]:
            version = _version(subjects, subject, text, deleted=True)
            if flags.permanent and not version.deleted:
                raise refusal.version_there(subject, version.number)
            if not flags.permanent and version.deleted:
                raise refusal.version_gone(subject, version.number)
            _check_deletable(subjects, [version])
            return version.number, subjects.deletion([version], permanent=flags.permanent)

        return self._registry.change(decide)

    # Schemas by id

    def schema(self, text: str) -> dict[str, Any]:
        """The schema with that id."""
        return _content(self._uses(text)[0])

    def schema_text(self, text: str) -> str:
        """The schema with that id, and nothing else."""
        return self._uses(text)[0].schema

    def schema_subjects(self, text: str, flags: Flags) -> list[str]:
        """The subjects that have the schema."""
        return sorted({version.subject for version in self._uses(text, flags)})

    def schema_versions(self, text: str, flags: Flags) -> list[dict[str, Any]]:
        """The versions that are the schema."""
        return [
            {"subject": version.subject, "version": version.number}
            for version in self._uses(text, flags)
        ]

    def _uses(self, text: str, flags: Flags | None = None) -> list[Version]:
        """What has the id: all of it, or what a request's switches choose."""
        if not (text.isascii() and text.isdecimal() and int(text) < 1 << 31):
            raise refusal.no_page()
        with self._registry.contents() as subjects:
            every = subjects.uses(int(text), deleted=True)
            if not every:
                raise refusal.no_schema(int(text))
            return every if flags is None else subjects.uses(int(text), deleted=flags.deleted)

    # Compatibility

    def compatibility(
        self, subject: str, text: str | None, body: dict[str, Any], flags: Flags
    ) -> dict[str, Any]:
        """Whether a schema can follow one version, or with None those that the level names."""
        schema = _schema_of(body)
        with self._registry.contents() as subjects:
            level = subjects.level_of(subject)
            if text is None:
                old = subjects.versions(subject)
            elif text == "latest" and not subjects.versions(subject):
                old = []  # what would be the first version can follow
            else:
                old = [_version(subjects, subject, text)]
            try:
                past = [each.schema for each in old if each.kind == "AVRO"]
                check_compatibility(schema, past, level, subject=subject)
            except IncompatibleSchema as error:
                told = [str(error)] if flags.verbose else []
                return {"is_compatible": False, **({"messages": told} if told else {})}
        return {"is_compatible": True, **({"messages": []} if flags.verbose else {})}

    # Levels and modes

    def level(self, subject: str | None, flags: Flags) -> dict[str, Any]:
        """The level of a subject, or with None of all that have none of their own."""
        with self._registry.contents() as subjects:
            if subject is None or flags.default_to_global:
                return {"compatibilityLevel": subjects.level_of(subject)}
            level = subjects.level(subject)
        if level is None:
            raise refusal.no_level(subject)
        return {"compatibilityLevel": level}

    def set_level(self, subject: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """Set it."""
        given = body.get("compatibility")
        level = given.upper() if isinstance(given, str) else None
        if level not in LEVELS:
            raise refusal.bad_level(given, ", ".join(LEVELS))
        self._change([level_change(subject, level)])
        return {"compatibility": level}

    def unset_level(self, subject: str | None) -> dict[str, Any]:
        """Take it back; the answer is the one that was."""

        def decide(subjects: Subjects) -> tuple[Level, Sequence[Change]]:
            level = subjects.level(subject)
            if level is None and subject is not None:
                raise refusal.no_subject(subject)
            return level or DEFAULT_LEVEL, [level_change(subject, None)]

        return {"compatibilityLevel": self._registry.change(decide)}

    def mode(self, subject: str | None, flags: Flags) -> dict[str, Any]:
        """The mode of a subject, or with None of all that have none of their own."""
        with self._registry.contents() as subjects:
            if subject is None or flags.default_to_global:
                return {"mode": subjects.mode_of(subject)}
            mode = subjects.mode(subject)
        if mode is None:
            raise refusal.no_mode(subject)
        return {"mode": mode}

    def set_mode(self, subject: str | None, body: dict[str, Any]) -> dict[str, Any]:
        """Set it."""
        given = body.get("mode")
        mode = given.upper() if isinstance(given, str) else None
        if mode not in MODES:
            raise refusal.bad_mode(given, ", ".join(MODES))
        self._change([mode_change(subject, mode)])
        return {"mode": mode}

    def unset_mode(self, subject: str | None) -> dict[str, Any]:
        """Take it back; the answer is the one that was."""

        def decide(subjects: Subjects) -> tuple[Mode, Sequence[Change]]:
            mode = subjects.mode(subject)
            if mode is None and subject is not None:
                raise refusal.no_subject(subject)
            return mode or DEFAULT_MODE, [mode_change(subject, None)]

        return {"mode": self._registry.change(decide)}

    def _change(self, changes: list[Change]) -> None:
        self._registry.change(lambda _: (None, changes))


def _schema_of(body: dict[str, Any]) -> str:
    """The schema of a request's body. Raises Refusal if it isn't Avro by itself."""
    kind = body.get("schemaType") or "AVRO"
    if kind != "AVRO":
        raise refusal.bad_schema(f"expected schemaType AVRO, got {kind}")
    if body.get("references"):
        raise refusal.bad_schema("references to other subjects are not supported")
    for name in ("ruleSet", "metadata"):
        if body.get(name):
            raise refusal.bad_schema(f"{name} is not supported")
    text = body.get("schema")
    if not isinstance(text, str) or not text.strip():
        raise refusal.bad_schema("expected a schema as text, got none")
    try:
        check_schema(text)
    except SchemaError as error:
        raise refusal.bad_schema(str(error)) from None
    return text


def _version(subjects: Subjects, subject: str, text: str, *, deleted: bool = False) -> Version:
    """The version that a path names. Raises Refusal."""
    every = subjects.versions(subject, deleted=deleted)
    latest = text in ("latest", "-1")
    if not latest and not (text.isascii() and text.isdecimal() and int(text) in _VERSIONS):
        raise refusal.bad_version(text)
    if not every:
        raise refusal.no_subject(subject)
    if latest:
        return next((each for each in reversed(every) if not each.deleted), every[-1])
    found = next((each for each in every if each.number == int(text)), None)
    if found is None:
        raise refusal.no_version(int(text))
    return found


def _check_deletable(subjects: Subjects, versions: Sequence[Version]) -> None:
    for version in versions:
        if subjects.mode_of(version.subject) == "READONLY":
            raise refusal.read_only(version.subject)
        if any(each not in versions for each in _referring(subjects, version)):
            raise refusal.referred_to(version.subject, version.number)


def _referring(subjects: Subjects, wanted: Version) -> list[Version]:
    """The versions whose schemas name the types of another."""
    return [
        version
        for name in subjects.names()
        for version in subjects.versions(name)
        for reference in version.references
        if reference.get("subject") == wanted.subject and reference.get("version") == wanted.number
    ]


def _content(version: Version) -> dict[str, Any]:
    extra: dict[str, Any] = {} if version.kind == "AVRO" else {"schemaType": version.kind}
    if version.references:
        extra["references"] = list(version.references)
    return {"schema": version.schema, **extra}


def _described(version: Version) -> dict[str, Any]:
    place = {"subject": version.subject, "version": version.number, "id": version.schema_id}
    return {**place, **_content(version)}
