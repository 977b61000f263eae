"""Whether copies are equal to what was copied, by counting and by checksums in columns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vagus.events.column import truths
from vagus.hub.mirror.stretch import to_source, to_target
from vagus.hub.reading import read_to

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from vagus.hub.contract import Hub
    from vagus.hub.mirror.ids import SchemaIds
    from vagus.hub.mirror.stretch import Stretch
    from vagus.hub.records import BytesColumn, FetchedRecords, Records, TopicPartition

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One partition in the source and in the target: how many events, and their checksums."""

    topic: str
    partition: int
    source_count: int
    target_count: int
    source_checksum: str
    target_checksum: str

    @property
    def same(self) -> bool:
        """Whether they are equal."""
        return (self.source_count, self.source_checksum) == (
            self.target_count,
            self.target_checksum,
        )


def compare(
    partition: TopicPartition,
    source: Hub,
    target: Hub,
    stretches: Sequence[Stretch],
    ids: SchemaIds,
) -> Comparison:
    """Compare what was copied and is still kept on both sides.

    Of a compacted topic the last event of each key counts, since each hub compacts in its time.
    """
    compacted = "compact" in source.describe_topic(partition.topic).config.cleanup
    sides = []
    extent = _extent(partition, source, target, stretches)
    for hub, (start, end) in zip((source, target), extent, strict=True):
        kept = _newest(hub, partition, start, end) if compacted else None
        checksum = _Checksum()
        for read in _reads(hub, partition, start, end):
            values = read.values
            if hub is source:
                values = ids.translate(partition.topic, values, read.keys)
            rows = None if kept is None else np.flatnonzero(np.isin(read.offsets, kept))
            checksum.add(read, values, rows)
        sides.append(checksum)
    one, other = sides
    return Comparison(*partition, one.count, other.count, one.text, other.text)


def _extent(
    partition: TopicPartition, source: Hub, target: Hub, stretches: Sequence[Stretch]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """From where to where, in each of the hubs."""
    if not stretches:
        return (0, 0), (0, 0)
    here = source.offsets([partition], "earliest")[partition]
    there = target.offsets([partition], "earliest")[partition]
    begin = max(to_target(stretches, here), there)
    first = max(to_source(stretches, begin), here)
    return (first, stretches[-1].next_offset), (begin, stretches[-1].target_end)


def _reads(hub: Hub, partition: TopicPartition, start: int, end: int) -> Iterator[FetchedRecords]:
    for got, _ in read_to(hub, {partition: start}, {partition: end}):
        yield from got


def _newest(hub: Hub, partition: TopicPartition, start: int, end: int) -> NDArray[np.int64]:
    """The offsets of the last event of each key, without deletions; all those without a key."""
    newest: dict[bytes, int] = {}
    unkeyed: list[int] = []
    for read in _reads(hub, partition, start, end):
        gone, no_key = _nulls(read.values), _nulls(read.keys)
        unkeyed += read.offsets[no_key].tolist()
        places = np.where(gone, -1, read.offsets)
        newest.update(zip(read.keys.to_list(), places.tolist(), strict=True))  # type: ignore[arg-type]
    newest.pop(None, None)  # type: ignore[call-overload]
    return np.array([*(at for at in newest.values() if at >= 0), *unkeyed], dtype=np.int64)


class _Checksum:
    """Of records in their order, however they are cut into batches."""

    def __init__(self) -> None:
        self.count = 0
        self._parts = [hashlib.blake2b(digest_size=16) for _ in range(6)]

    def add(self, records: Records, values: BytesColumn, rows: NDArray[np.int64] | None) -> None:
        """Take in these records, or these rows of them."""
        keys, stamps, headers = records.keys, records.timestamps, records.headers
        if rows is not None:
            keys, values, stamps = keys.take(rows), values.take(rows), stamps[rows]
            headers = None if headers is None else [headers[row] for row in rows.tolist()]
        self.count += len(stamps)
        self._parts[0].update(np.ascontiguousarray(stamps, dtype="<i8").tobytes())
        for place, column in ((1, keys), (3, values)):
            lengths, content = _content(column)
            self._parts[place].update(lengths)
            self._parts[place + 1].update(content)
        if len(stamps):
            every = headers if headers is not None else [()] * len(stamps)
            self._parts[5].update(repr(every)[1:-1].encode() + b", ")

    @property
    def text(self) -> str:
        """The checksum so far."""
        whole = hashlib.blake2b(digest_size=8)
        for part in self._parts:
            whole.update(part.digest())
        return whole.hexdigest()


def _nulls(column: BytesColumn) -> NDArray[np.bool_]:
    if not column.null_count:
        return np.zeros(len(column), dtype=bool)
    return truths(column.to_arrow().is_null())


def _content(column: BytesColumn) -> tuple[bytes, memoryview]:
    """The lengths of the values, -1 for null, and all their bytes."""
    array = column.to_arrow()
    gone = _nulls(column)
    if gone.any():
        array = array.drop_null()
    bounds = np.frombuffer(array.buffers()[1] or bytes(4), dtype=np.int32)[array.offset :]
    bounds = bounds[: len(array) + 1]
    lengths = np.full(len(gone), -1, dtype="<i8")
    lengths[~gone] = np.diff(bounds)
    content = memoryview(array.buffers()[2] or b"")[bounds[0] : bounds[-1]]
    return lengths.tobytes(), content
