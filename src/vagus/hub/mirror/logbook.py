"""What mirrors have done, kept in the target: in the compacted topic `_vagus-mirror`.

A record tells which topic is a copy of which hub's, which events were copied in one step, or where
a group was put. Those of a step are written in the transaction of the copies themselves, so that
after any crash the two agree.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vagus.errors import HubError
from vagus.hub.ledger import Entry, Ledger, records
from vagus.hub.mirror.stretch import Stretch
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagus.hub.contract import Hub
    from vagus.hub.records import Records

__all__ = ["LOGBOOK_TOPIC", "Logbook"]

LOGBOOK_TOPIC = "_vagus-mirror"


class Logbook:
    """All that mirrors have written into a hub."""

    def __init__(self, hub: Hub) -> None:
        self._ledger = Ledger(hub, LOGBOOK_TOPIC, "vagus-mirror", self._apply)
        self.owners: dict[str, str] = {}
        self.given: dict[tuple[str, TopicPartition], dict[str, int | None]] = {}
        self._stretches: dict[TopicPartition, dict[int, Stretch]] = {}

    def open(self) -> None:
        """Make the topic if it isn't there, and read it."""
        self._ledger.make()
        self._ledger.read()

    def refresh(self) -> None:
        """Read on to the end."""
        self._ledger.read()

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
                _entry(_stretch_key(tp, first), None)
                for tp, found in self._stretches.items()
                if tp.topic == topic
                for first in found
            ]
            return [*gone, _entry({"kind": "topic", "topic": topic}, {"source": source})]

        self._ledger.change(decide)

    def give(self, group: str, positions: Mapping[TopicPartition, dict[str, int | None]]) -> None:
        """Remember where a group is about to be put, and where it was."""
        self._ledger.change(
            lambda: [_entry(_group_key(group, tp), said) for tp, said in positions.items()]
        )

    def telling(
        self, stretches: Sequence[tuple[TopicPartition, Stretch]]
    ) -> tuple[TopicPartition, Records]:
        """What tells of stretches, and where that is to be written."""
        told = [_entry(_stretch_key(tp, each.first), each.said) for tp, each in stretches]
        return self._ledger.partition, records(told)

    def _apply(self, name: bytes, value: bytes | None) -> None:
        key: dict[str, Any] = json.loads(name)
        said: dict[str, Any] | None = None if value is None else json.loads(value)
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
                where=LOGBOOK_TOPIC,
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


def _entry(key: dict[str, Any], said: dict[str, Any] | None) -> Entry:
    return _text(key), None if said is None else _text(said)


def _text(part: dict[str, Any]) -> bytes:
    return json.dumps(part, separators=(",", ":")).encode()
