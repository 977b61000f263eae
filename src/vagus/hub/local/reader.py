"""Reading partitions from positions of one's own."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from vagus.errors import OffsetOutOfRange
from vagus.hub import rules
from vagus.hub.contract import Reader
from vagus.hub.local import batch, log, topics
from vagus.hub.records import FetchedRecords, TopicPartition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Iterable, Mapping

    from vagus.hub.local.hub import LocalHub


class LocalReader(Reader):
    """A reader of the embedded hub."""

    def __init__(self, hub: LocalHub, positions: Mapping[TopicPartition, int]) -> None:
        self._hub = hub
        self._positions = {TopicPartition(*tp): int(at) for tp, at in positions.items()}
        self._ends = dict(self._positions)
        self._paused: set[TopicPartition] = set()
        # The batch that the last read stopped within, so that small reads decode it once.
        self._begun: dict[TopicPartition, FetchedRecords] = {}
        self._turn = 0
        # The commits that a look which left nothing unread has seen; None after other looks.
        self._seen: int | None = None
        self._woken = False
        self._closed = False

    def read(
        self, *, max_records: int = 65_536, max_bytes: int = 8 << 20, wait_s: float = 0.0
    ) -> list[FetchedRecords]:
        rules.check_bounds(max_records, max_bytes)
        signal, deadline = self._hub.signal, time.monotonic() + wait_s
        while True:
            self._check_open()
            left = deadline - time.monotonic()
            seen, self._seen = self._seen, None
            if seen is not None and left > 0 and self._hub.waits:
                wanted = self._positions.keys() - self._paused
                signal.wait(seen, min(left, 60.0), wanted, lambda: self._woken or self._closed)
                self._check_open()
            token = signal.token()
            got = self._look(max_records, max_bytes)
            if not any(
                at < self._ends[tp] for tp, at in self._positions.items() if tp not in self._paused
            ):
                self._seen = token
            if got or self._woken or time.monotonic() >= deadline or not self._hub.waits:
                self._woken = False
                return got

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._positions)

    def ends(self) -> dict[TopicPartition, int]:
        return {tp: self._ends[tp] for tp in self._positions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        rules.check_known(partition, self._positions)
        rules.check_offset(partition, offset)
        self._positions[partition] = offset
        self._seen = None

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            rules.check_known(partition, self._positions)
            self._paused.add(partition)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        self._paused.difference_update(partitions)
        self._seen = None

    def wakeup(self) -> None:
        self._woken = True
        self._hub.signal.notify()

    def close(self) -> None:
        self._closed = True
        self._begun.clear()
        self._hub.signal.notify()

    def _look(self, max_records: int, max_bytes: int) -> list[FetchedRecords]:
        """What there is now."""
        with self._hub.storage.reading() as db:
            return self._fetch(db, max_records, max_bytes)

    def _check_open(self) -> None:
        self._hub.check_usable()
        rules.check_reading(self._hub.url, closed=self._closed)

    def _fetch(
        self, db: sqlite3.Connection, max_records: int, max_bytes: int
    ) -> list[FetchedRecords]:
        order = deque(tp for tp in self._positions if tp not in self._paused)
        if not order:
            return []
        order.rotate(-self._turn)
        self._turn += 1
        got: list[FetchedRecords] = []
        moved: dict[TopicPartition, int] = {}
        ready: deque[tuple[TopicPartition, topics.Place]] = deque()
        for partition in order:
            place = topics.place(db, partition)
            self._ends[partition] = place.end
            self._check_range(partition, place)
            if self._positions[partition] < place.end:
                ready.append((partition, place))
        while ready and max_records > 0 and max_bytes > 0:
            # What is left is shared out evenly, so that no partition starves another.
            share = -(-max_records // len(ready)), -(-max_bytes // len(ready))
            partition, place = ready.popleft()
            parts, size, moved[partition] = self._take(db, partition, place, *share)
            if parts:
                got.append(FetchedRecords.joined(parts))
                max_records -= len(got[-1])
                max_bytes -= size
        self._positions.update(moved)
        return got

    def _check_range(self, partition: TopicPartition, place: topics.Place) -> None:
        at = self._positions[partition]
        if not place.start <= at <= place.end:
            raise OffsetOutOfRange(
                f"expected a position from {place.start} to {place.end}, got {at}",
                where=f"{partition.topic}[{partition.partition}]",
                hint="its events are no longer kept; seek to a position that is"
                if at < place.start
                else "there are no such events yet; was the topic deleted and made anew?",
            )

    def _take(
        self,
        db: sqlite3.Connection,
        partition: TopicPartition,
        place: topics.Place,
        max_records: int,
        max_bytes: int,
    ) -> tuple[list[FetchedRecords], int, int]:
        """Records of one partition, their stored size, and where to read on."""
        parts: list[FetchedRecords] = []
        count = size = 0
        at = self._positions[partition]
        source = self._batches(db, partition, place, at)
        try:
            for stored_bytes, records in source:
                start = int(np.searchsorted(records.offsets, at))
                stop = min(len(records), start + max_records - count)
                if start < stop:
                    parts.append(batch.rows(records, start, stop))
                    count += stop - start
                    size += stored_bytes * (stop - start) // len(records)
                    at = parts[-1].next_offset
                else:
                    at = records.next_offset
                if stop < len(records):
                    self._begun[partition] = records
                if count >= max_records or size >= max_bytes:
                    return parts, size, at
        finally:
            source.close()
        # Whatever lay between here and the end has been compacted away.
        return parts, size, place.end

    def _batches(
        self, db: sqlite3.Connection, partition: TopicPartition, place: topics.Place, at: int
    ) -> Generator[tuple[int, FetchedRecords]]:
        begun = self._begun.pop(partition, None)
        if begun is not None and begun.offsets[0] <= at < begun.next_offset:
            yield begun.nbytes, begun
            at = begun.next_offset
        newest = self._hub.tail.at(place.id, partition, at)
        if newest is not None:
            yield newest
            at = newest[1].next_offset
        if at < place.end:
            yield from log.stored(db, place.id, partition, at)
