"""Which topics are mirrored, and the checks that each is the copy it should be."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.mirror.logbook import LOGBOOK_TOPIC, Logbook, foreign
from vagus.hub.mirror.stretch import Stretch, last_mark
from vagus.hub.reading import read_to
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vagus.hub.contract import Hub

__all__ = ["Topics", "chosen"]

_NEVER = ("_schemas", LOGBOOK_TOPIC)  # the first is merged; keys of persons and the like stay
_ANEW = "delete the topic in the target to copy it anew, or leave it out with --topics"


def chosen(names: Iterable[str], pattern: str) -> list[str]:
    """The topics that a pattern means.

    Those that begin with `_` only if it does, and never those that are Vagus' own there.
    """
    return [
        name
        for name in names
        if fnmatchcase(name, pattern)
        and name not in _NEVER
        and not name.startswith(("_vagus-", "__"))
        and (not name.startswith("_") or pattern.startswith("_"))
    ]


class Topics:
    """The topics of a mirror: made, checked, and where each is to be read on."""

    def __init__(
        self, source: Hub, target: Hub, logbook: Logbook, name: str, tell: Callable[[str], None]
    ) -> None:
        self._source, self._target, self._logbook = source, target, logbook
        self._name, self._tell = name, tell
        self._cleanup: dict[str, str] = {}
        self.positions: dict[TopicPartition, int] = {}

    def add(self, name: str) -> None:
        """Have a topic in the target, and find out where it is to be read on.

        Raises HubError if the target's topic is not, or no longer, a copy of the source's.
        """
        config = self._source.describe_topic(name).config
        there = name in self._target.topics()
        owner = self._logbook.owners.get(name)
        if owner is not None and owner != self._name:
            raise foreign(name, owner, self._name)
        places = [TopicPartition(name, number) for number in range(config.partitions)]
        if there:
            self._check_partitions(name, config.partitions, owned=owner is not None)
        if owner is None and there:
            self._check_empty(name)
        if owner is None or not there:
            self._logbook.claim(name, self._name)
        if not there:
            self._target.create_topic(name, config)
        self._cleanup[name] = config.cleanup
        for partition in places:
            if partition not in self.positions:
                self.positions[partition] = self._resume(partition)

    def check_kept(self) -> None:
        """Raise HubError if the source has given up events that weren't copied."""
        starts = self._source.offsets(self.positions, "earliest")
        for partition, at in self.positions.items():
            if starts[partition] > at:
                self._check_gap(partition, at, starts[partition])
                self.positions[partition] = starts[partition]

    def _check_partitions(self, name: str, wanted: int, *, owned: bool) -> None:
        config = self._target.describe_topic(name).config
        if config.partitions == wanted:
            return
        if owned and config.partitions < wanted:
            self._target.alter_topic(name, replace(config, partitions=wanted), force=True)
            return
        raise HubError(
            f"expected {wanted} partitions as in the source, got {config.partitions}",
            where=f"{name} in the target",
            hint=_ANEW,
        )

    def _check_empty(self, name: str) -> None:
        for part in self._target.describe_topic(name).partitions:
            if part.end_offset > part.start_offset:
                raise HubError(
                    "expected a topic that is empty or was made by this mirror, got events of "
                    "others",
                    where=f"{name}[{part.partition}] in the target",
                    hint=_ANEW,
                )

    def _resume(self, partition: TopicPartition) -> int:
        last = self._logbook.last(partition)
        if last is None:
            self._check_untouched(partition, None)
            return self._source.offsets([partition], "earliest")[partition]
        start = self._source.offsets([partition], "earliest")[partition]
        end = self._source.offsets([partition], "latest")[partition]
        if end < last.next_offset or not self._is_the_same(partition, last, start):
            raise HubError(
                "expected the topic that was mirrored before, got one that was made anew",
                where=f"{partition.topic}[{partition.partition}] in the source",
                hint=_ANEW,
            )
        self._check_untouched(partition, last)
        return last.next_offset

    def _is_the_same(self, partition: TopicPartition, last: Stretch, start: int) -> bool:
        """Whether the last event that was copied is still the one at that place."""
        if last.last < start:
            return True
        for got, _ in read_to(self._source, {partition: last.last}, {partition: last.last + 1}):
            for read in got:
                return last_mark(read.slice(0, 1)) == last.mark
        return True  # compaction has removed it

    def _check_untouched(self, partition: TopicPartition, last: Stretch | None) -> None:
        """Raise HubError if others have written behind what was copied."""
        where = f"{partition.topic}[{partition.partition}] in the target"
        start = self._target.offsets([partition], "earliest")[partition]
        end = self._target.offsets([partition], "latest")[partition]
        copied = last.target_end if last is not None else start
        if end < copied:
            raise HubError(
                "expected the topic that was made by this mirror, got one that was made anew",
                where=where,
                hint=_ANEW,
            )
        behind = {partition: max(copied, start)}
        for got, _ in read_to(self._target, behind, {partition: end}):
            if got:
                raise HubError(
                    f"expected no events but the mirror's, got one at {got[0].offsets[0]}",
                    where=where,
                    hint="an application works there already; " + _ANEW,
                )

    def _check_gap(self, partition: TopicPartition, at: int, start: int) -> None:
        topic, number = partition
        fresh = self._logbook.last(partition) is None
        if fresh or self._cleanup[topic] == "compact":
            return  # nothing was copied yet, or all that went was superseded
        if topic.endswith("-repartition"):
            self._tell(f"{topic}[{number}]: passed over {start - at:,} offsets that were processed")
            return
        raise HubError(
            f"expected events from offset {at} on, got {start} as the first that is kept: those "
            "between were removed before they were copied",
            where=f"{topic}[{number}] in the source",
            hint=f"keep events for longer than the mirror pauses; {_ANEW}",
        )
