"""A schema registry that lives in the hub itself.

Schemas are records of the compacted topic `_schemas`, of one partition, in the form that
Confluent's registry and Karapace write, so that either can take over a topic that was copied to
Kafka. Registering begins a transaction of one fixed id, which fences whoever else is registering,
reads to the end, decides, and commits: a schema gets one id, once, however many processes try.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import RLock
from typing import TYPE_CHECKING, Any, TypeVar

from vagus.errors import Fenced, HubError, HubUnavailable, SchemaError, TopicExists, UnknownTopic
from vagus.events.registry import check_level
from vagus.hub.contract import Hub, TopicConfig, Transaction
from vagus.hub.records import Records, TopicPartition
from vagus.hub.subjects import Change, Subjects, level_change

if TYPE_CHECKING:
    from vagus.events.compatibility import Level

__all__ = ["HubRegistry"]

_TOPIC = "_schemas"
_PARTITION = TopicPartition(_TOPIC, 0)
_WRITER = "vagus-schemas"
_TRIES = 200
_UNSURE_TRIES = 5
_Result = TypeVar("_Result")


class HubRegistry:
    """Gives schemas their ids through a topic of the hub. Safe to use from several threads.

    What is not in the cache is looked up in the hub once more before it is called unknown. Making
    one does no I/O.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = RLock()
        self._subjects = Subjects()
        self._next = 0

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
        with self._lock:
            return self._write(decide)

    def _write(self, decide: Callable[[Subjects], tuple[_Result, Sequence[Change]]]) -> _Result:
        unsure = 0
        for attempt in range(_TRIES):
            self._make_topic()
            transaction: Transaction | None = None
            try:
                transaction = self._hub.begin(_WRITER)
                self._refresh()
                result, changes = decide(self._subjects)
                if not changes:
                    transaction.abort()
                    return result
                transaction.append([(_PARTITION, _records(changes))])
                try:
                    transaction.commit()
                except HubError as error:
                    unsure += 1
                    if isinstance(error, Fenced) or unsure >= _UNSURE_TRIES:
                        raise
                    transaction.abort()
                    continue  # it isn't known what came of it: the next try will see
            except Fenced:
                if transaction is not None:
                    transaction.abort()
                # Each waits a while of its own, so that one of those who fence each other is
                # alone for long enough.
                time.sleep(pause_s(attempt))
                continue
            except BaseException:
                if transaction is not None:
                    transaction.abort()
                raise
            self._refresh()
            return result
        raise HubUnavailable(
            f"expected to write to {_TOPIC} within {_TRIES} tries, but others kept writing",
            where=self._hub.url,
            hint="try again",
        )

    def _make_topic(self) -> None:
        if self._next:
            return
        try:
            self._hub.describe_topic(_TOPIC)
        except UnknownTopic:
            with suppress(TopicExists):  # another process was first
                self._hub.create_topic(_TOPIC, TopicConfig(partitions=1, cleanup="compact"))

    def _refresh(self) -> None:
        """Read on to the end of the topic."""
        try:
            end = self._hub.offsets([_PARTITION], "latest")[_PARTITION]
        except UnknownTopic:
            return
        if self._next >= end:
            return
        with self._hub.reader({_PARTITION: self._next}) as reader:
            while self._next < end:
                for batch in reader.read(wait_s=1.0):
                    for key, value in zip(
                        batch.keys.to_list(), batch.values.to_list(), strict=True
                    ):
                        if key is not None:
                            self._subjects.apply(key, value)
                self._next = reader.positions()[_PARTITION]


def pause_s(attempt: int) -> float:
    """How long to wait before the next try, after so many."""
    return random.uniform(0, min(0.1, 0.002 * 2 ** min(attempt, 6)))


def _records(changes: Sequence[Change]) -> Records:
    def text(part: dict[str, Any] | None) -> bytes | None:
        if part is None:
            return None
        return json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()

    keys, values = [text(each.key) for each in changes], [text(each.value) for each in changes]
    return Records.of(keys, values, [int(time.time() * 1000)] * len(changes))
