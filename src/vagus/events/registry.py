"""Where schemas get their ids."""

from __future__ import annotations

from threading import RLock
from typing import Protocol

from vagus.errors import SchemaError, nearest
from vagus.events.compatibility import LEVELS, Level, check_compatibility
from vagus.events.grammar import same_text

__all__ = ["MemoryRegistry", "Registry"]


class Registry(Protocol):
    """Gives each schema an id, once and for ever, and knows the schemas by id."""

    def register(self, subject: str, schema_json: str) -> int:
        """The schema's id; it becomes the subject's newest version if it is not one yet.

        Raises IncompatibleSchema if the subject's level forbids it.
        """
        ...

    def schema(self, schema_id: int) -> str:
        """The schema with that id. Raises SchemaError if there is none."""
        ...

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        ...

    def versions(self, subject: str) -> list[tuple[int, int]]:
        """The subject's versions, oldest first, each as (version, schema id)."""
        ...

    def level(self, subject: str | None = None) -> Level:
        """The compatibility that the subject asks of new versions; None for the default."""
        ...

    def set_level(self, subject: str | None, level: Level) -> None:
        """Set a subject's level, or with None the default one."""
        ...


class MemoryRegistry:
    """A registry in memory, for tests and for short lives. Safe to use from several threads.

    >>> registry = MemoryRegistry()
    >>> registry.register("ping-value", '"string"')
    1
    >>> registry.schema(1), registry.versions("ping-value")
    ('"string"', [(1, 1)])
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._schemas: dict[int, str] = {}
        self._ids: dict[str, int] = {}
        self._versions: dict[str, list[tuple[int, int]]] = {}
        self._levels: dict[str | None, Level] = {None: "BACKWARD"}

    def register(self, subject: str, schema_json: str) -> int:
        """See `Registry.register`."""
        with self._lock:
            canonical = same_text(schema_json)
            known = self._ids.get(canonical)
            versions = self._versions.get(subject, [])
            if known is not None and any(known == schema_id for _, schema_id in versions):
                return known
            self.check(subject, schema_json)
            schema_id = known if known is not None else len(self._schemas) + 1
            self._schemas.setdefault(schema_id, schema_json)
            self._ids[canonical] = schema_id
            version = versions[-1][0] + 1 if versions else 1
            self._versions.setdefault(subject, []).append((version, schema_id))
            return schema_id

    def check(self, subject: str, schema_json: str) -> None:
        """Raise IncompatibleSchema if the subject's level forbids the schema."""
        with self._lock:
            old = [self._schemas[schema_id] for _, schema_id in self._versions.get(subject, [])]
            check_compatibility(schema_json, old, self.level(subject), subject=subject)

    def schema(self, schema_id: int) -> str:
        """See `Registry.schema`."""
        with self._lock:
            if schema_id not in self._schemas:
                raise unknown_id(schema_id)
            return self._schemas[schema_id]

    def subjects(self) -> list[str]:
        """See `Registry.subjects`."""
        with self._lock:
            return sorted(self._versions)

    def versions(self, subject: str) -> list[tuple[int, int]]:
        """See `Registry.versions`."""
        with self._lock:
            if subject not in self._versions:
                raise unknown_subject(subject, list(self._versions))
            return list(self._versions[subject])

    def level(self, subject: str | None = None) -> Level:
        """See `Registry.level`."""
        with self._lock:
            return self._levels.get(subject) or self._levels[None]

    def set_level(self, subject: str | None, level: Level) -> None:
        """See `Registry.set_level`."""
        check_level(level)
        with self._lock:
            self._levels[subject] = level


def unknown_id(schema_id: int) -> SchemaError:
    """The error for an id that no schema has."""
    return SchemaError(
        f"expected the id of a known schema, got {schema_id}",
        hint="was the topic written with another registry?",
    )


def unknown_subject(subject: str, known: list[str]) -> SchemaError:
    """The error for a subject that isn't there."""
    return SchemaError(
        f"no subject {subject!r}", hint=nearest(subject, known) or "`vagus schema list` shows all"
    )


def check_level(level: str) -> None:
    """Raise SchemaError for what is no level."""
    if level not in LEVELS:
        raise SchemaError(
            f"expected one of {', '.join(LEVELS)}, got {level!r}", where="compatibility level"
        )
