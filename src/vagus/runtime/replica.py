"""A replica: a whole table, read from its topic and kept up to date.

Tables that every worker holds in full, and views that answer queries, are replicas. They read
committed events only, from offset zero, outside any group.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import polars as pl

from vagus.hub import TopicPartition
from vagus.runtime.frame import KEY
from vagus.runtime.store import Store
from vagus.runtime.topic import TopicCodec

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import FetchedRecords, Hub, Reader
    from vagus.runtime.metrics import Metrics
    from vagus.runtime.topic import Topic

Progress = Callable[[str, int, int], None]
"""Told of long work: what is restored, how many offsets are done, and how many there are."""

log = logging.getLogger("vagus")


def no_progress(_what: str, _done: int, _total: int) -> None:
    """Tell nobody."""


def load(
    store: Store, codec: TopicCodec, read: FetchedRecords, metrics: Metrics | None = None
) -> None:
    """Apply the records of a table's topic, or of a changelog, to its store."""
    decoded = codec.decode(read)
    for failure in decoded.failures:
        log.warning(
            "%s, partition %d, offset %d: %s",
            *read.partition,
            read.offsets[failure.row],
            failure.error,
        )
    if metrics is not None:
        metrics.add("table_records_unreadable", read.partition.topic, len(decoded.failures))
    frame = decoded.frame
    unkeyed = frame[KEY].null_count()
    if unkeyed:
        frame = frame.filter(pl.col(KEY).is_not_null())
        if metrics is not None:
            metrics.add("records_dropped", read.partition.topic, unkeyed)
    store.load(frame.unique(store.place, keep="last", maintain_order=True))


def restore(
    hub: Hub,
    store: Store,
    codec: TopicCodec,
    ends: dict[TopicPartition, int],
    progress: Progress = no_progress,
) -> None:
    """Fill a store from the start of its topic's partitions up to the given ends."""
    starts = hub.offsets(ends, "earliest")
    total = sum(max(0, end - starts[partition]) for partition, end in ends.items())
    if not total:
        return
    progress(store.name, 0, total)
    with hub.reader(starts) as reader:
        open_partitions = {tp for tp, end in ends.items() if starts[tp] < end}
        while open_partitions:
            for read in reader.read(wait_s=1.0, max_bytes=32 << 20):
                load(store, codec, _before(read, ends[read.partition]))
                if read.next_offset >= ends[read.partition]:
                    open_partitions.discard(read.partition)
                    reader.pause([read.partition])
            done = sum(min(at, ends[tp]) - starts[tp] for tp, at in reader.positions().items())
            progress(store.name, done, total)


def _before(read: FetchedRecords, end: int) -> FetchedRecords:
    if read.next_offset <= end:
        return read
    count = int(read.offsets.searchsorted(end))
    return read.slice(0, count)


class Replica:
    """All partitions of a table's topic in one store."""

    def __init__(
        self,
        hub: Hub,
        topic: Topic,
        registry: Registry,
        *,
        metrics: Metrics | None = None,
        progress: Progress = no_progress,
    ) -> None:
        self.store = Store.for_topic(topic)
        self._codec = TopicCodec(topic, registry)
        self._metrics = metrics
        info = hub.describe_topic(topic.name)
        partitions = [TopicPartition(topic.name, part.partition) for part in info.partitions]
        ends = hub.offsets(partitions, "latest")
        restore(hub, self.store, self._codec, ends, progress)
        self._reader: Reader = hub.reader(ends)

    def refresh(self, *, wait_s: float = 0.0) -> bool:
        """Take in what is new; whether there was anything."""
        reads: Iterable[FetchedRecords] = self._reader.read(wait_s=wait_s)
        found = False
        for read in reads:
            load(self.store, self._codec, read, self._metrics)
            found = True
        return found

    def wakeup(self) -> None:
        """Make a waiting `refresh` return."""
        self._reader.wakeup()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
