"""What mirrors have done, kept in the target: in the compacted topic `_vagus-mirror`.

A record tells which topic is a copy of which hub's, which events were copied in one step, or where
a group was put. Those of a step are written in the transaction of the copies themselves, so that
after any crash the two agree.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from vagus.errors import Fenced, HubError, HubUnavailable, TopicExists
from vagus.hub.contract import TopicConfig
from vagus.hub.mirror.reading import read_to
from vagus.hub.mirror.stretch import Stretch
from vagus.hub.records import Records, TopicPartition
from vagus.hub.schemas import pause_s

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vagus.hub.contract import Hub

__all__ = ["LEDGER_TOPIC", "Ledger"]

LEDGER_TOPIC = "_vagus-mirror"
PARTITION = TopicPartition(LEDGER_TOPIC, 0)
_WRITER = "vagus-mirror"
_TRIES = 200

Entry = tuple[dict[str, Any], dict[str, Any] | None]


class Ledger:
    """All that mirrors have written into a hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._next = 0
        self.owners: dict[str, str] = {}
        self.given: dict[tuple[str, TopicPartition], dict[str, int | None]] = {}
        self._stretches: dict[TopicPartition, dict[int, Stretch]] = {}

    def open(self) -> None:
        """Make the topic if it isn't there, and read it."""
        with suppress(TopicExists):
            self._hub.create_topic(LEDGER_TOPIC, TopicConfig(cleanup="compact"))
        self.refresh()

    def refresh(self) -> None:
        """Read on to the end."""
        end = self._hub.offsets([PARTITION], "latest")
        for got, reached in read_to(self._hub, {PARTITION: self._next}, end):
            for read in got:
                for key, value in zip(read.keys.to_list(), read.values.to_list(), strict=True):
                    self._apply(
                        json.loads(key or b"{}"), None if value is None else json.loads(value)
                    )
            self._next = reached[PARTITION]

    def stretches(self, partition: TopicPartition) -> list[Stretch]:
        """What was copied of a partition, in its order."""
        return list(self._stretches.get(partition, {}).values())

    def last(self, partition: TopicPartition) -> Stretch | None:
        """What was copied last of a partition."""
        return next(reversed(self._stretches.get(partition, {}).values()), None)

    def claim(self, topic: str, source: str) -> None:
        """Make a topic a copy of the source's, from the beginning. Raises HubError if it is not."""

        def decide() -> list[Entry]:
            if self.owners.get(topic, source) != source:
                raise foreign(topic, self.owners[topic], source)
            gone: list[Entry] = [
                (_stretch_key(tp, first), None)
                for tp, found in self._stretches.items()
                if tp.topic == topic
                for first in found
            ]
            return [*gone, ({"kind": "topic", "topic": topic}, {"source": source})]

        self._change(decide)

    def give(self, group: str, positions: Mapping[TopicPartition, dict[str, int | None]]) -> None:
        """Remember where a group is about to be put, and where it was."""
        self._change(lambda: [(_group_key(group, tp), said) for tp, said in positions.items()])

    @staticmethod
    def records(stretches: Sequence[tuple[TopicPartition, Stretch]]) -> Records:
        """The records that tell of stretches."""
        return _records([(_stretch_key(tp, each.first), each.said) for tp, each in stretches])

    def _change(self, decide: Callable[[], list[Entry]]) -> None:
        for attempt in range(_TRIES):
            transaction = self._hub.begin(_WRITER)
            try:
                self.refresh()
                transaction.append([(PARTITION, _records(decide()))])
                transaction.commit()
            except Fenced:
                transaction.abort()
                time.sleep(pause_s(attempt))
                continue
            except BaseException:
                transaction.abort()
                raise
            self.refresh()
            return
        raise HubUnavailable(
            f"expected to write to {LEDGER_TOPIC} within {_TRIES} tries, but others kept writing",
            where=self._hub.url,
            hint="try again",
        )

    def _apply(self, key: dict[str, Any], said: dict[str, Any] | None) -> None:
        kind, topic = key.get("kind"), key.get("topic", "")
        if kind == "topic" and said is not None:
            self.owners[topic] = said["source"]
        elif kind == "stretch":
            found = self._stretches.setdefault(TopicPartition(topic, key["partition"]), {})
            if said is None:
                found.pop(key["first"], None)
            else:
                found[key["first"]] = Stretch.parse(key["first"], said)
        elif kind == "group" and said is not None:
            self.given[key["group"], TopicPartition(topic, key["partition"])] = said
        else:
            raise HubError(
                f"expected a record of a mirror, got {kind!r}",
                where=LEDGER_TOPIC,
                hint="was it written by a newer Vagus?",
            )


def foreign(topic: str, owner: str, source: str) -> HubError:
    """The error for a topic that is a copy of another hub's."""
    return HubError(
        f"expected a topic that is a copy from {source}, got one from {owner}",
        where=topic,
        hint="name the source as before, leave the topic out with --topics, or delete it in the "
        "target to copy it anew",
    )


def _stretch_key(partition: TopicPartition, first: int) -> dict[str, Any]:
    topic, number = partition
    return {"kind": "stretch", "topic": topic, "partition": number, "first": first}


def _group_key(group: str, partition: TopicPartition) -> dict[str, Any]:
    topic, number = partition
    return {"kind": "group", "group": group, "topic": topic, "partition": number}


def _records(entries: Sequence[Entry]) -> Records:
    def text(part: dict[str, Any] | None) -> bytes | None:
        return None if part is None else json.dumps(part, separators=(",", ":")).encode()

    stamps = [int(time.time() * 1000)] * len(entries)
    return Records.of(
        [text(key) for key, _ in entries], [text(said) for _, said in entries], stamps
    )
