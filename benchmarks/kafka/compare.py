"""Whether Vagus and Kafka Streams wrote the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from vagus.hub import FetchedRecords, Hub, Records, TopicPartition
from vagus.runtime.frame import KEY, TIME
from vagus.runtime.topic import WINDOW_START, Topic, TopicCodec

if TYPE_CHECKING:
    from benchmarks.kafka.jobs import Job
    from vagus.events import Registry

_MEAN_TOLERANCE = 1e-9  # sums are made in another order


def difference(hub: Hub, registry: Registry, job: Job, ours: Topic, theirs: str) -> str | None:
    """What differs between the two topics, or None.

    Record by record: keys, values with the id of their schema, timestamps. Windows: the last value
    of each window.
    """
    if job.last_counts:
        codec = TopicCodec(ours, registry)
        frames = [_last(codec, _read(hub, topic)) for topic in (ours.name, theirs)]
        return _between(*frames)
    mine, other = (
        Records.concat([Records(r.keys, r.values, r.timestamps) for r in _read(hub, topic)])
        for topic in (ours.name, theirs)
    )
    if len(mine) != len(other):
        return f"{len(mine)} records, Kafka Streams has {len(other)}"
    for what in ("keys", "values"):
        if not getattr(mine, what).to_arrow().equals(getattr(other, what).to_arrow()):
            return f"the {what} differ"
    return None if (mine.timestamps == other.timestamps).all() else "the timestamps differ"


def _read(hub: Hub, topic: str) -> list[FetchedRecords]:
    place = TopicPartition(topic, 0)
    ends = hub.offsets([place], "latest")
    with hub.reader(hub.offsets([place], "earliest")) as reader:
        reads: list[FetchedRecords] = []
        while reader.positions()[place] < ends[place]:
            reads += reader.read(max_records=131_072, max_bytes=32 << 20, wait_s=1.0)
    return reads


def _last(codec: TopicCodec, reads: list[FetchedRecords]) -> pl.DataFrame:
    frame = pl.concat([codec.decode(read).frame for read in reads])
    place = [KEY, WINDOW_START]
    return (
        frame.unique(place, keep="last").select(*place, TIME, "readings", "speed_kmh").sort(place)
    )


def _between(mine: pl.DataFrame, other: pl.DataFrame) -> str | None:
    if mine.height != other.height:
        return f"{mine.height} windows, Kafka Streams has {other.height}"
    exact = [name for name in mine.columns if name != "speed_kmh"]
    for name in exact:
        if not mine[name].equals(other[name]):
            return f"{name} differs"
    apart = (mine["speed_kmh"] - other["speed_kmh"]).abs().max()
    assert isinstance(apart, float)
    return None if apart < _MEAN_TOLERANCE else f"speed_kmh differs by {apart}"
