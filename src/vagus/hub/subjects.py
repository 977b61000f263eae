"""What the topic `_schemas` says: subjects, their versions, levels and modes.

The records are those of Confluent's registry and of Karapace, to the letter: compaction goes by
the bytes of their keys, and either of them is to be able to take the topic over.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast, get_args

from vagus.errors import SchemaError
from vagus.events.compatibility import LEVELS, Level, check_compatibility
from vagus.events.grammar import same_text
from vagus.events.registry import unknown_id, unknown_subject

__all__ = ["MODES", "Change", "Mode", "Subjects", "Version"]

Mode = Literal["READWRITE", "READONLY"]
"""Whether a subject takes new versions."""

MODES: tuple[Mode, ...] = get_args(Mode)

DEFAULT_LEVEL: Level = "BACKWARD"
DEFAULT_MODE: Mode = "READWRITE"


class Change(NamedTuple):
    """A record of the topic. A value of None takes back what the key said."""

    key: dict[str, Any]
    value: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a subject.

    `kind` and `references` are Confluent's: what was registered elsewhere may be no Avro, or may
    name types of other subjects. A deleted version counts no more, but can be read.
    """

    subject: str
    number: int
    schema_id: int
    schema: str
    kind: str = "AVRO"
    references: tuple[dict[str, Any], ...] = ()
    deleted: bool = False

    def record(self) -> Change:
        """The record that says so."""
        value = {"subject": self.subject, "version": self.number, "id": self.schema_id}
        extra: dict[str, Any] = {} if self.kind == "AVRO" else {"schemaType": self.kind}
        if self.references:
            extra["references"] = list(self.references)
        return Change(
            self.key(), {**value, **extra, "schema": self.schema, "deleted": self.deleted}
        )

    def key(self) -> dict[str, Any]:
        """The key of the record."""
        return {"keytype": "SCHEMA", "subject": self.subject, "version": self.number, "magic": 1}


class Subjects:
    """All that the topic says, record by record, and the records that would change it.

    Not safe for several threads: `HubRegistry` sees to that.
    """

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, Version]] = {}
        self._uses: dict[int, dict[tuple[str, int], Version]] = {}
        self._ids: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        self._levels: dict[str | None, Level] = {}
        self._modes: dict[str | None, Mode] = {}
        self._highest = 0

    # What there is

    @property
    def highest(self) -> int:
        """The highest id that was ever given; 0 if none was."""
        return self._highest

    def names(self, *, deleted: bool = False) -> list[str]:
        """The subjects that have a version, sorted; with `deleted` also those that had one."""
        return sorted(
            name
            for name, versions in self._versions.items()
            if deleted or any(not each.deleted for each in versions.values())
        )

    def versions(self, subject: str, *, deleted: bool = False) -> list[Version]:
        """The subject's versions, oldest first; none if there is no such subject."""
        found = self._versions.get(subject, {})
        return [found[n] for n in sorted(found) if deleted or not found[n].deleted]

    def known(self, subject: str) -> list[Version]:
        """The subject's versions, oldest first. Raises SchemaError if there are none."""
        found = self.versions(subject)
        if not found:
            raise unknown_subject(subject, self.names())
        return found

    def find(self, subject: str, schema_json: str, *, deleted: bool = False) -> Version | None:
        """The newest version of the subject that is this schema."""
        text = same_text(schema_json)
        versions = self.versions(subject, deleted=deleted)
        return next((v for v in reversed(versions) if self._texts.get(v.schema_id) == text), None)

    def uses(self, schema_id: int, *, deleted: bool = False) -> list[Version]:
        """The versions that are the schema with that id, sorted by subject."""
        found = self._uses.get(schema_id, {})
        return [found[at] for at in sorted(found) if deleted or not found[at].deleted]

    def schema(self, schema_id: int) -> Version:
        """A version that is the schema with that id. Raises SchemaError if there is none."""
        for version in self._uses.get(schema_id, {}).values():
            return version
        raise unknown_id(schema_id)

    def level(self, subject: str | None = None) -> Level | None:
        """The level set for a subject, or with None for all others; None if none is set."""
        return self._levels.get(subject)

    def level_of(self, subject: str | None) -> Level:
        """The level that holds for a subject."""
        return self._levels.get(subject) or self._levels.get(None) or DEFAULT_LEVEL

    def mode(self, subject: str | None = None) -> Mode | None:
        """The mode set for a subject, or with None for all others; None if none is set."""
        return self._modes.get(subject)

    def mode_of(self, subject: str | None) -> Mode:
        """The mode that holds for a subject."""
        return self._modes.get(subject) or self._modes.get(None) or DEFAULT_MODE

    def check(self, subject: str, schema_json: str) -> None:
        """Raise IncompatibleSchema if the subject's level forbids the schema."""
        old = [each.schema for each in self.versions(subject) if each.kind == "AVRO"]
        check_compatibility(schema_json, old, self.level_of(subject), subject=subject)

    # What would change it

    def registration(self, subject: str, schema_json: str) -> tuple[Version, list[Change]]:
        """The version that a schema has or gets. Raises IncompatibleSchema and SchemaError."""
        before = self.find(subject, schema_json)
        if before is not None:
            return before, []
        if self.mode_of(subject) == "READONLY":
            raise SchemaError(
                f"expected a subject that can be written, but {subject!r} is read-only",
                hint="set its mode to READWRITE",
            )
        self.check(subject, schema_json)
        number = max(self._versions.get(subject, {}), default=0) + 1
        schema_id = self._ids.get(same_text(schema_json)) or self._highest + 1
        version = Version(subject, number, schema_id, schema_json)
        return version, [version.record()]

    def deletion(self, versions: Sequence[Version], *, permanent: bool) -> list[Change]:
        """Take versions of one subject away: from use, or with `permanent` from the topic."""
        if not permanent:
            whole = {each.number for each in self.versions(versions[0].subject)}
            if whole <= {each.number for each in versions}:
                return self._deletion_of_subject(versions[0].subject, max(whole))
            return [replace(each, deleted=True).record() for each in versions]
        # The id that was given last is remembered: it is never given to another schema.
        highest = Change({"keytype": "NOOP", "magic": 0}, {"id": self._highest})
        return [highest, *(Change(each.key(), None) for each in versions)]

    def _deletion_of_subject(self, subject: str, newest: int) -> list[Change]:
        key = {"keytype": "DELETE_SUBJECT", "subject": subject, "magic": 0}
        changes = [Change(key, {"subject": subject, "version": newest})]
        if subject in self._levels:
            changes.append(level_change(subject, None))
        if subject in self._modes:
            changes.append(mode_change(subject, None))
        return changes

    # Reading the topic

    def apply(self, key: bytes, value: bytes | None) -> None:
        """Take in a record of the topic. What is none of a registry is passed over."""
        try:
            about = json.loads(key)
            said = None if value is None else json.loads(value)
            kind = about["keytype"]
            if kind == "SCHEMA":
                self._apply_schema(str(about["subject"]), int(about["version"]), said)
            elif kind == "DELETE_SUBJECT" and said is not None:
                for version in self.versions(about["subject"]):
                    if version.number <= said["version"]:
                        self._put(replace(version, deleted=True))
            elif kind == "CONFIG":
                _keep(self._levels, about["subject"], (said or {}).get("compatibilityLevel"))
            elif kind == "MODE":
                _keep(self._modes, about["subject"], _mode((said or {}).get("mode")))
            elif kind == "NOOP" and said is not None:
                self._highest = max(self._highest, int(said["id"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SchemaError):
            return  # written by something else: not ours to judge

    def _apply_schema(self, subject: str, number: int, said: dict[str, Any] | None) -> None:
        if said is not None:
            version = Version(
                subject,
                number,
                int(said["id"]),
                said["schema"],
                said.get("schemaType") or "AVRO",
                tuple(said.get("references") or ()),
                bool(said.get("deleted", False)),
            )
            self._highest = max(self._highest, version.schema_id)
            before = self._versions.get(subject, {}).get(number)
            if before is not None and before.schema_id != version.schema_id:
                self._drop(subject, number)
            self._put(version)
            return
        self._drop(subject, number)

    def _drop(self, subject: str, number: int) -> None:
        gone = self._versions.get(subject, {}).pop(number, None)
        if gone is None:
            return
        if not self._versions[subject]:
            del self._versions[subject]
        uses = self._uses[gone.schema_id]
        del uses[subject, number]
        if not uses:
            text = self._texts.pop(gone.schema_id, None)
            if text is not None and self._ids.get(text) == gone.schema_id:
                del self._ids[text]

    def _put(self, version: Version) -> None:
        self._versions.setdefault(version.subject, {})[version.number] = version
        self._uses.setdefault(version.schema_id, {})[version.subject, version.number] = version
        if version.kind == "AVRO" and not version.references:
            text = self._texts.get(version.schema_id)
            if text is None:
                text = self._texts[version.schema_id] = same_text(version.schema)
            self._ids.setdefault(text, version.schema_id)


def level_change(subject: str | None, level: Level | None) -> Change:
    """The record that sets a level, or with None takes it back."""
    key = {"keytype": "CONFIG", "subject": subject, "magic": 0}
    return Change(key, None if level is None else {"compatibilityLevel": level})


def mode_change(subject: str | None, mode: Mode | None) -> Change:
    """The record that sets a mode, or with None takes it back."""
    key = {"keytype": "MODE", "subject": subject, "magic": 0}
    return Change(key, None if mode is None else {"subject": subject, "mode": mode})


def _keep(settings: dict[str | None, Any], subject: str | None, value: str | None) -> None:
    if value is None or value not in (*LEVELS, *MODES):
        settings.pop(subject, None)
    else:
        settings[subject] = value


def _mode(mode: str | None) -> Mode | None:
    """A foreign registry's other modes take no versions from us."""
    return cast("Mode", mode) if mode is None or mode in MODES else "READONLY"
