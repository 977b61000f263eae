"""Which partition a key belongs to: Kafka's default, computed in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vagus.events.column import truths

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from vagus.events.column import BytesColumn

__all__ = ["partitions_for"]

_SEED = np.uint32(0x9747B28C)
_M = np.uint32(0x5BD1E995)
_MANY = 16_384  # keys from which on it pays to see whether they repeat
_SAMPLE = 4_096


def partitions_for(keys: BytesColumn, count: int) -> NDArray[np.int32]:
    """The partition, of `count`, of each key, as Kafka's Java client chooses it; -1 for null.

    >>> from vagus.events import BytesColumn
    >>> partitions_for(BytesColumn([b"21", b"foobar", None]), 1 << 31).tolist()
    [1173551340, 1357151166, -1]
    """
    array = keys.to_arrow()
    total = len(array)
    if not total:
        return np.empty(0, dtype=np.int32)
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: total + 1]
    lengths = np.diff(ends)
    if total >= _MANY and (lengths != lengths[0]).any() and _repeat(array):
        return _of_distinct(array, count)
    data = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)
    hashes = _murmur2(data, ends, lengths)
    partitions = (hashes & np.uint32(0x7FFFFFFF)) % np.uint32(count)
    result = partitions.astype(np.int32)
    if array.null_count:
        result[truths(array.is_null())] = -1
    return result


def _repeat(array: pa.BinaryArray) -> bool:
    """Whether keys seem to repeat so often that it is cheaper to find the distinct ones first.

    Keys of one length are hashed as fast as they are told apart, and don't get here.
    """
    return len(array[:_SAMPLE].unique()) < _SAMPLE * 3 // 4


def _of_distinct(array: pa.BinaryArray, count: int) -> NDArray[np.int32]:
    from vagus.events.column import BytesColumn

    encoded = array.dictionary_encode()
    places = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy()
    found = partitions_for(BytesColumn(encoded.dictionary), count)
    result: NDArray[np.int32] = np.append(found, np.int32(-1))[places]
    return result


def _murmur2(
    data: NDArray[np.uint8], ends: NDArray[np.int32], lengths: NDArray[np.int32]
) -> NDArray[np.uint32]:
    """The hash of each value, the values of one length at a time."""
    first = int(lengths[0])
    if (lengths == first).all():
        start = int(ends[0])
        return _of_length(data[start : start + first * len(lengths)].reshape(len(lengths), first))
    starts = ends[:-1].astype(np.int64)
    hashes = np.empty(len(lengths), dtype=np.uint32)
    for length in np.flatnonzero(np.bincount(lengths)).tolist():
        rows = np.flatnonzero(lengths == length)
        if length:
            # Windows over the data: a row of this view is a value, with nothing copied.
            windows = np.lib.stride_tricks.sliding_window_view(data, length)
            hashes[rows] = _of_length(windows[starts[rows]])
        else:
            hashes[rows] = _of_length(np.empty((len(rows), 0), dtype=np.uint8))
    return hashes


def _of_length(values: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The hash of values of one length, a row each."""
    count, length = values.shape
    h = np.full(count, _SEED ^ np.uint32(length), dtype=np.uint32)
    whole = length // 4
    if whole:
        if length % 4:
            words = np.ascontiguousarray(values[:, : whole * 4]).view("<u4")
        else:
            words = np.ascontiguousarray(values).view("<u4")
        for place in range(whole):
            k = words[:, place] * _M
            k ^= k >> np.uint32(24)
            k *= _M
            h *= _M
            h ^= k
    rest = length % 4
    if rest:
        for place in reversed(range(rest)):
            h ^= values[:, whole * 4 + place].astype(np.uint32) << np.uint32(8 * place)
        h *= _M
    h ^= h >> np.uint32(13)
    h *= _M
    h ^= h >> np.uint32(15)
    return h
