"""A stored batch: many records as one blob of columns, with a checksum.

The blob is a header (magic, number of records, length of each section) and the sections, each
padded to eight bytes, so that Arrow and NumPy read them where they lie. Offsets are kept as
differences from the batch's first one, and only where they have gaps: a blob can be made before
its place in the log is known.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vagus.errors import CorruptBatch, EncodeError
from vagus.events.column import truths
from vagus.hub.records import BytesColumn, FetchedRecords, Records, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

TARGET_BYTES = 512 << 10
"""How large batches are made, where there is enough to put in them."""

RECORD_BYTES_MAX = 256 << 20
"""The largest record that is taken."""

_FOLDED_FROM_BYTES = 16_384
_LANES = 251

_MAGIC = 0x31474756  # "VGG1"
_SECTIONS = 13
_HEADER = struct.Struct(f"<II{_SECTIONS}I4x")

Headers = list[tuple[tuple[str, bytes], ...]]
_Sections = list[Any]  # arrays and buffers, in the order of the blob


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A blob and what the log needs to know of it. `last_delta` is last offset - first offset."""

    count: int
    last_delta: int
    min_timestamp: int
    max_timestamp: int
    has_keys: bool
    has_null_keys: bool
    crc: int
    data: bytes
    headers: Headers | None = None  # as they were given


def encode(records: Records) -> list[EncodedBatch]:
    """Records as one or more batches of about `TARGET_BYTES`."""
    return [_encode_given(part) for part in _split(records)]


def encode_fetched(records: FetchedRecords) -> EncodedBatch:
    """Records that have their offsets already (compaction) as one batch."""
    return _encode_placed(records, _StoredHeaders.of(records.headers))


def pack(
    stored: Sequence[tuple[bytes, int, int, int]], partition: TopicPartition
) -> tuple[int, EncodedBatch]:
    """One batch of several that follow each other, each with its CRC and its first and last offset.

    It is given with its first offset. Headers stay in columns. Raises CorruptBatch.
    """
    parts = [_open(data, crc, partition, base, last) for data, crc, base, last in stored]
    records = FetchedRecords.joined([part for part, _ in parts])
    headers = _StoredHeaders.joined([(len(part), headers) for part, headers in parts])
    return int(records.offsets[0]), _encode_placed(records, headers)


def decode(
    data: bytes, crc: int, partition: TopicPartition, base_offset: int, last_offset: int
) -> FetchedRecords:
    """The records of a blob, on the blob's own memory. Raises CorruptBatch."""
    records, headers = _open(data, crc, partition, base_offset, last_offset)
    return records if headers is None else replace(records, headers=headers.rows())


def decode_given(
    batch: EncodedBatch, partition: TopicPartition, base_offset: int
) -> FetchedRecords:
    """The records of a batch that `encode` has just made."""
    records, _ = _unpack(batch.data, partition, base_offset, base_offset + batch.last_delta)
    return records if batch.headers is None else replace(records, headers=batch.headers)


def _open(
    data: bytes, crc: int, partition: TopicPartition, base_offset: int, last_offset: int
) -> tuple[FetchedRecords, _StoredHeaders | None]:
    """The records of a blob without their headers, and these."""
    if checksum(data) != crc:
        raise corrupt(partition, base_offset, last_offset)
    return _unpack(data, partition, base_offset, last_offset)


def _unpack(
    data: bytes, partition: TopicPartition, base_offset: int, last_offset: int
) -> tuple[FetchedRecords, _StoredHeaders | None]:
    magic, count, *lengths = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise corrupt(partition, base_offset, last_offset)
    starts = list(accumulate((_padded(n) for n in lengths), initial=_HEADER.size))
    whole = pa.py_buffer(data)

    def section(number: int) -> pa.Buffer | None:
        length = lengths[number]
        return whole.slice(starts[number], length) if length else None

    def numbers(number: int, kind: type[Any]) -> NDArray[Any]:
        size = lengths[number] // np.dtype(kind).itemsize
        return np.frombuffer(data, kind, size, starts[number])

    def filled(first: int, size: int, validity: pa.Buffer | None = None) -> BytesColumn:
        places, content = section(first), section(first + 1)
        content = content if content is not None else pa.py_buffer(b"")
        return BytesColumn(pa.Array.from_buffers(pa.binary(), size, [validity, places, content]))

    def column(first: int) -> BytesColumn:
        if not lengths[first]:
            return BytesColumn.nulls(count)
        return filled(first, count, section(first + 2))

    deltas = numbers(7, np.int64)
    if len(deltas):
        offsets = deltas + base_offset
    else:
        offsets = np.arange(base_offset, base_offset + count, dtype=np.int64)
    records = FetchedRecords(
        column(1),
        column(4),
        numbers(0, np.int64),
        partition=partition,
        offsets=offsets,
        next_offset=last_offset + 1,
    )
    counts = numbers(8, np.int32)
    if not len(counts):
        return records, None
    total = int(counts.sum())
    return records, _StoredHeaders(counts, filled(9, total), filled(11, total))


def checksum(data: bytes) -> int:
    """32 bits that change when `data` does.

    CRC-32 of everything would cost as much as the rest of a read. So a large blob is first
    folded: its 64-bit words are summed in lanes, and the CRC is taken of the sums. The number of
    lanes is a prime, so that blocks of the disk that changed places are noticed as well.
    """
    if len(data) < _FOLDED_FROM_BYTES:
        return zlib.crc32(data)
    whole = len(data) // (8 * _LANES) * _LANES
    lanes = np.frombuffer(data, np.uint64, whole).reshape(-1, _LANES)
    rest = memoryview(data)[8 * whole :]
    return zlib.crc32(rest, zlib.crc32(np.add.reduce(lanes, axis=0).tobytes()))


def rows(records: FetchedRecords, start: int, stop: int) -> FetchedRecords:
    """The records at places `start` up to, but without, `stop` of a batch."""
    count = len(records)
    if start == 0 and stop >= count:
        return records
    return FetchedRecords(
        records.keys.slice(start, stop),
        records.values.slice(start, stop),
        records.timestamps[start:stop],
        records.headers[start:stop] if records.headers is not None else None,
        partition=records.partition,
        offsets=records.offsets[start:stop],
        next_offset=(records.next_offset if stop >= count else int(records.offsets[stop - 1]) + 1),
    )


def take(records: FetchedRecords, places: NDArray[np.integer[Any]]) -> FetchedRecords:
    """The records at `places` (growing) of a batch."""
    return FetchedRecords(
        records.keys.take(places),
        records.values.take(places),
        records.timestamps[places],
        [records.headers[at] for at in places] if records.headers is not None else None,
        partition=records.partition,
        offsets=records.offsets[places],
        next_offset=records.next_offset,
    )


def corrupt(partition: TopicPartition, base_offset: int, last_offset: int) -> CorruptBatch:
    """The error for a batch that can't be trusted."""
    return CorruptBatch(
        "expected stored bytes that match their checksum, got damaged ones",
        where=f"{partition.topic}[{partition.partition}] offsets {base_offset} to {last_offset}",
        hint="`vagus hub check` lists all damage; restore a backup, or read on from "
        f"offset {last_offset + 1}",
    )


def _padded(length: int) -> int:
    return (length + 7) & ~7


def _split(records: Records) -> Iterator[Records]:
    """Cut records that are far larger than a batch should be."""
    count = len(records)
    if records.nbytes <= 2 * TARGET_BYTES and count <= 2 * TARGET_BYTES // 8:
        if count:
            yield records
        return
    sizes = _sizes(records.keys) + _sizes(records.values)
    largest = int(sizes.max())
    if largest > RECORD_BYTES_MAX:
        raise EncodeError(
            f"expected records of at most {RECORD_BYTES_MAX} bytes, got one of {largest}",
            hint="keep large content elsewhere and put its address in the event",
        )
    ends = np.cumsum(sizes + 16)
    start = 0
    while start < count:
        reached = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, reached + TARGET_BYTES, "right")))
        yield Records(
            records.keys.slice(start, stop),
            records.values.slice(start, stop),
            records.timestamps[start:stop],
            records.headers[start:stop] if records.headers is not None else None,
        )
        start = stop


def _sizes(column: BytesColumn) -> NDArray[np.int64]:
    array = column.to_arrow()
    ends = np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]
    return np.diff(ends).astype(np.int64)


def _encode_given(records: Records) -> EncodedBatch:
    headers = _StoredHeaders.of(records.headers)
    batch = _encode_one(records, headers)
    return batch if headers is None else replace(batch, headers=list(records.headers or ()))


def _encode_placed(records: FetchedRecords, headers: _StoredHeaders | None) -> EncodedBatch:
    first = int(records.offsets[0])
    batch = _encode_one(records, headers, records.offsets - first)
    return replace(batch, last_delta=records.next_offset - 1 - first)


def _encode_one(
    records: Records, headers: _StoredHeaders | None, deltas: NDArray[np.int64] | None = None
) -> EncodedBatch:
    count = len(records)
    stamps = np.ascontiguousarray(records.timestamps, dtype=np.int64)
    if deltas is not None and int(deltas[-1]) == count - 1:
        deltas = None
    keys, key_nulls = _column_sections(records.keys)
    values, _ = _column_sections(records.values)
    sections: list[Any] = [
        stamps,
        *keys,
        *values,
        b"" if deltas is None else np.ascontiguousarray(deltas, dtype=np.int64),
        *([b""] * 5 if headers is None else headers.sections()),
    ]
    views = [memoryview(section).cast("B") if len(section) else b"" for section in sections]
    lengths = [len(view) for view in views]
    parts: list[Any] = [_HEADER.pack(_MAGIC, count, *lengths)]
    for view, length in zip(views, lengths, strict=True):
        parts.append(view)
        if length & 7:
            parts.append(bytes(_padded(length) - length))
    data = b"".join(parts)
    return EncodedBatch(
        count=count,
        last_delta=count - 1 if deltas is None else int(deltas[-1]),
        min_timestamp=int(stamps.min()),
        max_timestamp=int(stamps.max()),
        has_keys=key_nulls < count,
        has_null_keys=key_nulls > 0,
        crc=checksum(data),
        data=data,
    )


def _column_sections(column: BytesColumn) -> tuple[_Sections, int]:
    """Places, content and validity of a column (all empty if every value is null)."""
    packed = column.packed()
    if packed is not None:  # as mostly in a batch of a few: to make an array takes twice as long
        return [*packed, b""], 0
    array = column.to_arrow()
    count, nulls = len(array), int(array.null_count)
    if nulls == count:
        return [b"", b"", b""], nulls
    _, places, content = array.buffers()
    ends = np.frombuffer(places, np.int32)[array.offset : array.offset + count + 1]
    first, last = int(ends[0]), int(ends[-1])
    validity: Any = b""
    if nulls:
        validity = np.packbits(truths(array.is_valid()), bitorder="little")
    if first:
        ends = ends - first
    data: Any = memoryview(content)[first:last] if last > first else b""
    return [np.ascontiguousarray(ends), data, validity], nulls


@dataclass(frozen=True, slots=True)
class _StoredHeaders:
    """Headers as they are stored: how many each record has, all their names, all their values."""

    counts: NDArray[np.int32]
    names: BytesColumn
    values: BytesColumn

    @classmethod
    def of(cls, headers: Headers | None) -> _StoredHeaders | None:
        """The headers of records; None where there are none."""
        if headers is None or not any(headers):
            return None
        counts = np.fromiter(map(len, headers), np.int32, len(headers))
        pairs = list(chain.from_iterable(headers))
        encoded = {name: name.encode() for name in {name for name, _ in pairs}}  # they are few
        names = BytesColumn([encoded[name] for name, _ in pairs])
        return cls(counts, names, BytesColumn([value for _, value in pairs]))

    @classmethod
    def joined(cls, parts: Sequence[tuple[int, _StoredHeaders | None]]) -> _StoredHeaders | None:
        """Those of batches that follow each other, each with its number of records."""
        given = [headers for _, headers in parts if headers is not None]
        if not given:
            return None
        counts = [
            np.zeros(count, np.int32) if headers is None else headers.counts
            for count, headers in parts
        ]
        return cls(
            np.concatenate(counts),
            BytesColumn.concat([headers.names for headers in given]),
            BytesColumn.concat([headers.values for headers in given]),
        )

    def rows(self) -> Headers:
        """The headers of each record."""
        raw: list[Any] = self.names.to_list()
        decoded = {name: name.decode() for name in set(raw)}  # they are few
        values: list[Any] = self.values.to_list()
        pairs = list(zip(map(decoded.__getitem__, raw), values, strict=True))
        each = int(self.counts[0])
        if each and (self.counts == each).all():
            return list(zip(*[iter(pairs)] * each, strict=True))
        ends = np.cumsum(self.counts).tolist()
        return [tuple(pairs[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def sections(self) -> _Sections:
        """As they lie in the blob."""
        names, _ = _column_sections(self.names)
        values, _ = _column_sections(self.values)
        return [self.counts, *names[:2], *values[:2]]
