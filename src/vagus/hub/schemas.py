"""A schema registry that lives in the hub itself.

Schemas are records of the compacted topic `_schemas`, of one partition, in the form that
Confluent's registry and Karapace write, so that either can take over a topic that was copied to
Kafka. The topic is a `Ledger`: a schema gets one id, once, however many processes try.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from vagus.errors import SchemaError, UnknownTopic
from vagus.events.registry import check_level
from vagus.hub.ledger import Entry, Ledger
from vagus.hub.subjects import Change, Subjects, level_change

if TYPE_CHECKING:
    from vagus.events.compatibility import Level
    from vagus.hub.contract import Hub

__all__ = ["HubRegistry"]

_Result = TypeVar("_Result")


class HubRegistry:
    """Gives schemas their ids through a topic of the hub. Safe to use from several threads.

    What is not in the cache is looked up in the hub once more before it is called unknown. Making
    one does no I/O.
    """

    def __init__(self, hub: Hub) -> None:
        self._lock = RLock()
        self._subjects = Subjects()
        self._ledger = Ledger(hub, "_schemas", "vagus-schemas", self._subjects.apply)

    def register(self, subject: str, schema_json: str) -> int:
        """See `Registry.register`. Raises HubUnavailable if other writers never let go."""
        with self._lock:
            known = self._subjects.find(subject, schema_json)
        if known is None:
            known = self.change(lambda subjects: subjects.registration(subject, schema_json))
        return known.schema_id

    def schema(self, schema_id: int) -> str:
        """The schema with that id. Raises SchemaError if there is none, or if it is no Avro."""
        with self._lock:
            if not self._subjects.uses(schema_id, deleted=True):
                self._refresh()
            version = self._subjects.schema(schema_id)
        if version.kind != "AVRO" or version.references:
            what = "one that names other subjects" if version.references else version.kind
            raise SchemaError(f"expected an Avro schema by itself, got {what}, id {schema_id}")
        return version.schema

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        with self.contents() as subjects:
            return subjects.names()

    def versions(self, subject: str) -> list[tuple[int, int]]:
        """The subject's versions, oldest first, each as (version, schema id)."""
        with self.contents() as subjects:
            return [(each.number, each.schema_id) for each in subjects.known(subject)]

    def level(self, subject: str | None = None) -> Level:
        """The compatibility that the subject asks of new versions; None for the default."""
        with self.contents() as subjects:
            return subjects.level_of(subject)

    def set_level(self, subject: str | None, level: Level) -> None:
        """Set a subject's level, or with None the default one."""
        check_level(level)
        self.change(lambda _: (None, [level_change(subject, level)]))

    @contextmanager
    def contents(self) -> Iterator[Subjects]:
        """All that the topic says now. Nothing changes while it is looked at."""
        with self._lock:
            self._refresh()
            yield self._subjects

    def change(self, decide: Callable[[Subjects], tuple[_Result, Sequence[Change]]]) -> _Result:
        """Write the records that `decide` wants, in one step with what it decided them by.

        `decide` is given all that the topic says, and may be asked more than once. Raises what it
        raises, and HubUnavailable if other writers never let go.
        """
        result: list[_Result] = []

        def entries() -> list[Entry]:
            made, changes = decide(self._subjects)
            result[:] = [made]
            return [
                (_text(each.key), None if each.value is None else _text(each.value))
                for each in changes
            ]

        with self._lock:
            self._ledger.change(entries)
            return result[0]

    def _refresh(self) -> None:
        with suppress(UnknownTopic):  # nobody has registered anything
            self._ledger.read()


def _text(part: dict[str, Any]) -> bytes:
    return json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()
