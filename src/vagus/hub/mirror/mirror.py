"""Copying from hub to hub: each step in one transaction of the target, with what tells of it."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from vagus.errors import Fenced, HubError
from vagus.hub.mirror import groups, topics, verify
from vagus.hub.mirror.ids import SchemaIds
from vagus.hub.mirror.logbook import Logbook
from vagus.hub.mirror.stretch import Stretch
from vagus.hub.reading import read_to
from vagus.hub.records import BytesColumn, FetchedRecords, Records, TopicPartition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vagus.hub.contract import Hub

__all__ = ["Mirror"]

STEP_RECORDS = 200_000
STEP_BYTES = 32 << 20
_PAUSE_S = 0.3
_LOOK_S = 5.0

Progress = Callable[[int, int], None]


def _nothing(*_: object) -> None:
    pass


class Mirror:
    """Copies topics whose names match a pattern from one hub to another.

    What was copied is kept in the target, in the transaction of the copies: a mirror can be
    stopped at any moment, and the next one of the same source goes on. A newer one of the same
    source fences an older one. `tell` hears what people should know.

    >>> from vagus.hub import Records, TopicConfig, TopicPartition, connect
    >>> source, target = connect(":memory:"), connect(":memory:")
    >>> source.create_topic("ping", TopicConfig())
    >>> place = TopicPartition("ping", 0)
    >>> source.append([(place, Records.of([b"a"], [b"hello"], [0]))])
    [0]
    >>> mirror = Mirror(source, target, name="laptop")
    >>> mirror.copy()
    1
    >>> [each.same for each in mirror.verify()]
    [True]
    """

    def __init__(
        self,
        source: Hub,
        target: Hub,
        *,
        name: str | None = None,
        pattern: str = "*",
        with_groups: bool = False,
        tell: Callable[[str], None] = _nothing,
    ) -> None:
        self.name = name or identity(source.url)
        if name is None and self.name == identity(target.url):
            raise HubError("expected two hubs, got one and the same", where=self.name)
        self._source, self._target = source, target
        self._pattern, self._with_groups = pattern, with_groups
        self._writer = "vagus-mirror-" + hashlib.sha256(self.name.encode()).hexdigest()[:24]
        self._logbook = Logbook(target)
        self._ids = SchemaIds(source, target)
        self._topics = topics.Topics(source, target, self._logbook, self.name, tell)
        self._looked_s: float | None = None

    def copy(self, progress: Progress = _nothing) -> int:
        """Copy all that there is at this moment; how many events that were.

        With groups, then put them where they were at this moment. `progress` hears of offsets done
        and in all. Raises HubError where that can't be done without loss or repetition, Fenced if
        a newer mirror of this source has begun.
        """
        self._look()
        self._topics.check_kept()
        at = self._topics.positions
        wanted = groups.positions_of(self._source, at) if self._with_groups else {}
        ends = self._source.offsets(at, "latest")
        total, left = sum(ends.values()) - sum(at.values()), dict(at)
        copied, held, held_bytes = 0, list[FetchedRecords](), 0
        for got, reached in read_to(self._source, at, ends):
            left |= reached
            held += got
            held_bytes += sum(read.nbytes for read in got)
            if held_bytes >= STEP_BYTES or sum(map(len, held)) >= STEP_RECORDS:
                copied += self._write(held, left)
                held, held_bytes = [], 0
            progress(sum(left.values()) - sum(ends.values()) + total, total)
        copied += self._write(held, left)
        if wanted:
            groups.put(self._target, self._logbook, wanted)
        return copied

    def follow(self, progress: Progress = _nothing) -> None:
        """Copy all that there is and that comes, until interrupted."""
        while True:
            if not self.copy(progress):
                time.sleep(_PAUSE_S)

    def verify(self, progress: Progress = _nothing) -> list[verify.Comparison]:
        """Compare the copies with what was copied, for each partition. Follows `copy`."""
        found = []
        partitions = sorted(self._topics.positions)
        for done, partition in enumerate(partitions):
            progress(done, len(partitions))
            found.append(
                verify.compare(
                    partition,
                    self._source,
                    self._target,
                    self._logbook.stretches(partition),
                    self._ids,
                )
            )
        return found

    def _look(self) -> None:
        """Find topics and schemas, at the beginning and then from time to time."""
        now_s = time.monotonic()
        if self._looked_s is not None and now_s - self._looked_s < _LOOK_S:
            return
        if self._looked_s is None:
            self._logbook.open()
            self._target.begin(self._writer).abort()  # an older one writes no more
            self._logbook.refresh()
        names = topics.chosen(self._source.topics(), self._pattern)
        for name in names:
            self._topics.add(name)
        self._ids.refresh()
        self._looked_s = now_s

    def _write(self, held: list[FetchedRecords], reached: Mapping[TopicPartition, int]) -> int:
        """Write a step: the copies, and what tells of them."""
        parts: dict[TopicPartition, list[FetchedRecords]] = {}
        for read in held:
            parts.setdefault(read.partition, []).append(read)
        read_by = {tp: FetchedRecords.joined(of) for tp, of in parts.items()}
        at = self._topics.positions
        moved = [tp for tp in reached if self._logbook.last(tp) is None or at[tp] != reached[tp]]
        if not moved:
            return 0
        copies = [
            (tp, _with(read, self._ids.translate(tp.topic, read.values, read.keys)))
            for tp, read in read_by.items()
        ]
        empty = self._passed([tp for tp in moved if tp not in read_by], reached)

        def then(
            places: Mapping[TopicPartition, NDArray[np.int64]],
        ) -> list[tuple[TopicPartition, Records]]:
            full = [
                (tp, Stretch.of(read, at[tp], reached[tp], places[tp]))
                for tp, read in read_by.items()
            ]
            return [self._logbook.telling([*full, *empty])]

        transaction = self._target.begin(self._writer)
        try:
            self._logbook.refresh()
            self._check_alone(at)
            transaction.append(copies, located=True)
            transaction.commit(then=then)
        except Fenced as error:
            transaction.abort()
            raise self._fenced() from error
        except BaseException:
            transaction.abort()
            raise
        at |= {tp: reached[tp] for tp in moved}
        self._logbook.refresh()
        return sum(map(len, read_by.values()))

    def _passed(
        self, partitions: list[TopicPartition], reached: Mapping[TopicPartition, int]
    ) -> list[tuple[TopicPartition, Stretch]]:
        """What tells that there were no events up to here."""
        ends = self._target.offsets(partitions, "latest")
        found = []
        for tp in partitions:
            last = self._logbook.last(tp)
            if last is None:
                made = Stretch.empty(self._topics.positions[tp], reached[tp], ends[tp])
            else:
                made = replace(last, next_offset=reached[tp])
            found.append((tp, made))
        return found

    def _check_alone(self, at: Mapping[TopicPartition, int]) -> None:
        """Raise Fenced if another mirror has written since we read what it did."""
        for tp, position in at.items():
            last = self._logbook.last(tp)
            if last is not None and last.next_offset > position:
                raise self._fenced()

    def _fenced(self) -> Fenced:
        return Fenced(
            "expected to be the only mirror of this source, got a newer one at work",
            where=f"{self.name} to {self._target.url}",
            hint="let that one go on",
        )


def identity(url: str) -> str:
    """A hub's name in the logbook: its address without options, a file's whole path."""
    if "://" in url:
        return url.partition("?")[0]
    return url if url == ":memory:" else os.path.abspath(url)


def _with(read: FetchedRecords, values: BytesColumn) -> Records:
    """The records with other values."""
    return Records(read.keys, values, read.timestamps, read.headers)
