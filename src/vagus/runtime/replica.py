"""A replica: a whole table, read from its topic and kept up to date.

Tables that every worker holds in full, and views that answer queries, are replicas. They read
committed events only, from offset zero, outside any group.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from vagus.hub import TopicPartition
from vagus.hub.reading import PATIENCE_S, read_to
from vagus.runtime.frame import KEY, TOMBSTONE
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
    store.load(_changes(store, codec, read, metrics))


def _changes(
    store: Store, codec: TopicCodec, read: FetchedRecords, metrics: Metrics | None
) -> pl.DataFrame:
    """What is to be applied to the store; what can't be read is logged and counted."""
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
    if frame[TOMBSTONE].any():
        return frame.unique(store.place, keep="last", maintain_order=True)
    return frame


def restore(
    hub: Hub,
    store: Store,
    codec: TopicCodec,
    ends: dict[TopicPartition, int],
    progress: Progress = no_progress,
    metrics: Metrics | None = None,
    *,
    patience_s: float = PATIENCE_S,
) -> None:
    """Fill a store from the start of its topic's partitions up to the given ends.

    Tells of its progress while it waits, too. Raises HubUnavailable when nothing has come for
    `patience_s`, as `read_to` does.
    """
    starts = hub.offsets(ends, "earliest")
    total = sum(max(0, end - starts[partition]) for partition, end in ends.items())
    if not total:
        return
    progress(store.name, 0, total)
    turns = read_to(hub, starts, ends, max_bytes=32 << 20, patience_s=patience_s)
    for got, reached in turns:
        for read in got:
            load(store, codec, read, metrics)
        progress(store.name, sum(at - starts[tp] for tp, at in reached.items()), total)


class Replica:
    """All partitions of a table's topic in one store.

    With `retention_ms`, rows whose time lies further behind the newest one are dropped.
    """

    def __init__(
        self,
        hub: Hub,
        topic: Topic,
        registry: Registry,
        *,
        metrics: Metrics | None = None,
        progress: Progress = no_progress,
        retention_ms: int | None = None,
    ) -> None:
        self.store = Store.for_topic(topic)
        self.store.retention_ms = retention_ms
        self._codec = TopicCodec(topic, registry)
        self._metrics = metrics
        info = hub.describe_topic(topic.name)
        partitions = [TopicPartition(topic.name, part.partition) for part in info.partitions]
        ends = hub.offsets(partitions, "latest")
        restore(hub, self.store, self._codec, ends, progress, metrics)
        self._reader: Reader = hub.reader(ends)

    def refresh(self) -> bool:
        """Take in what is new; whether there was anything."""
        changes = self.fetch()
        for rows in changes:
            self.store.load(rows)
        return bool(changes)

    def fetch(self, *, wait_s: float = 0.0, max_records: int = 65_536) -> list[pl.DataFrame]:
        """What is new, for `store.load`, which it doesn't touch: readers need not wait for it.

        Waits up to `wait_s` for the first record.
        """
        reads = self._reader.read(wait_s=wait_s, max_records=max_records)
        return [_changes(self.store, self._codec, read, self._metrics) for read in reads]

    def wakeup(self) -> None:
        """Make a waiting `fetch` return."""
        self._reader.wakeup()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()
