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
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING, Any

from vagus.errors import Fenced, HubUnavailable, TopicExists, UnknownTopic
from vagus.events.registry import MemoryRegistry, check_level, same_text
from vagus.hub.contract import Hub, TopicConfig
from vagus.hub.records import Records, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.events.compatibility import Level

__all__ = ["HubRegistry"]

_TOPIC = "_schemas"
_PARTITION = TopicPartition(_TOPIC, 0)
_WRITER = "vagus-schemas"
_TRIES = 200
_Change = tuple[dict[str, Any], dict[str, Any]]


class HubRegistry:
    """Gives schemas their ids through a topic of the hub. Safe to use from several threads.

    What is not in the cache is looked up in the hub once more before it is called unknown. Making
    one does no I/O.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lock = RLock()
        self._known = _Contents()
        self._next = 0

    def register(self, subject: str, schema_json: str) -> int:
        """See `Registry.register`. Raises HubUnavailable if other writers never let go."""
        with self._lock:
            known = self._known.find(subject, schema_json)
            if known is not None:
                return known
            return self._write(lambda: self._registration(subject, schema_json))

    def schema(self, schema_id: int) -> str:
        """The schema with that id. Raises SchemaError if there is none."""
        with self._lock:
            if not self._known.has(schema_id):
                self._refresh()
            return self._known.schema(schema_id)

    def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        with self._lock:
            self._refresh()
            return self._known.subjects()

    def versions(self, subject: str) -> list[tuple[int, int]]:
        """The subject's versions, oldest first, each as (version, schema id)."""
        with self._lock:
            self._refresh()
            return self._known.versions(subject)

    def level(self, subject: str | None = None) -> Level:
        """The compatibility that the subject asks of new versions; None for the default."""
        with self._lock:
            self._refresh()
            return self._known.level(subject)

    def set_level(self, subject: str | None, level: Level) -> None:
        """Set a subject's level, or with None the default one."""
        check_level(level)
        key = {"keytype": "CONFIG", "subject": subject, "magic": 0}
        with self._lock:
            self._write(lambda: (0, (key, {"compatibilityLevel": level})))

    def _registration(self, subject: str, schema_json: str) -> tuple[int, _Change | None]:
        """The id of a schema, and the record that gives it one if it needs any."""
        before = self._known.find(subject, schema_json)
        if before is not None:
            return before, None
        version, schema_id = self._known.admit(subject, schema_json)
        key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
        value = {
            "subject": subject,
            "version": version,
            "id": schema_id,
            "schema": schema_json,
            "deleted": False,
        }
        return schema_id, (key, value)

    def _write(self, decide: Callable[[], tuple[int, _Change | None]]) -> int:
        for attempt in range(_TRIES):
            self._make_topic()
            transaction = self._hub.begin(_WRITER)
            try:
                self._refresh()
                result, change = decide()
                if change is None:
                    transaction.abort()
                    return result
                transaction.append([(_PARTITION, _record(*change))])
                transaction.commit()
            except Fenced:
                transaction.abort()
                # Each waits a while of its own, so that one of those who fence each other is
                # alone for long enough.
                time.sleep(_pause_s(attempt))
                continue
            except BaseException:
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
                            self._known.apply(key, value)
                self._next = reader.positions()[_PARTITION]


def _pause_s(attempt: int) -> float:
    return random.uniform(0, min(0.1, 0.002 * 2 ** min(attempt, 6)))


def _record(key: dict[str, Any], value: dict[str, Any]) -> Records:
    def text(part: dict[str, Any]) -> bytes:
        return json.dumps(part, separators=(",", ":"), ensure_ascii=False).encode()

    return Records.of([text(key)], [text(value)], [int(time.time() * 1000)])


class _Contents(MemoryRegistry):
    """What the topic says, applied record by record."""

    def find(self, subject: str, schema_json: str) -> int | None:
        known = self._ids.get(same_text(schema_json))
        ids = [schema_id for _, schema_id in self._versions.get(subject, [])]
        return known if known in ids else None

    def has(self, schema_id: int) -> bool:
        return schema_id in self._schemas

    def admit(self, subject: str, schema_json: str) -> tuple[int, int]:
        """The version and id that a new schema gets. Raises IncompatibleSchema."""
        self.check(subject, schema_json)
        versions = self._versions.get(subject, [])
        known = self._ids.get(same_text(schema_json))
        new = max(self._schemas, default=0) + 1
        return (versions[-1][0] + 1 if versions else 1), known if known is not None else new

    def apply(self, key: bytes, value: bytes | None) -> None:
        try:
            about = json.loads(key)
            said = json.loads(value) if value is not None else None
        except ValueError:
            return  # written by something else: not ours to judge
        if about.get("keytype") == "CONFIG":
            if said is None:
                self._levels.pop(about.get("subject"), None)
                self._levels.setdefault(None, "BACKWARD")
            else:
                self._levels[about.get("subject")] = said["compatibilityLevel"]
        elif about.get("keytype") == "SCHEMA":
            self._apply_schema(about["subject"], about["version"], said)

    def _apply_schema(self, subject: str, version: int, said: dict[str, Any] | None) -> None:
        others = [each for each in self._versions.get(subject, []) if each[0] != version]
        if said is not None:
            # A deleted version leaves its subject, but its id is readable for ever.
            self._schemas.setdefault(said["id"], said["schema"])
            if said.get("schemaType", "AVRO") == "AVRO":
                self._ids.setdefault(same_text(said["schema"]), said["id"])
            if not said.get("deleted", False):
                others.append((version, said["id"]))
        if others:
            self._versions[subject] = sorted(others)
        else:
            self._versions.pop(subject, None)
