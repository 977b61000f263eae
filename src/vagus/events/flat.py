"""Reading plain records in columns, without a Python object for each value.

Where every field is a number, a truth value, an instant or a text, a field of all values can be
read at once: each value has a place where we are, and reading moves all the places on. What isn't
as it should be, even in one value, makes the whole attempt fail; the careful way then says what
is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vagus.events.nodes import Scalar, Temporal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from vagus.events.nodes import Node

    Places = NDArray[np.int64]
    Words = NDArray[np.uint64]

__all__ = ["FlatReader"]

_HEAD = 5
_WORD = 8
_INLINE = 12  # bytes of text that Arrow keeps in a view itself
_KINDS = ("boolean", "int", "long", "float", "double", "string", "bytes")
_INT32 = 1 << 31
_STOPS = np.uint64(0x8080_8080_8080_8080)
_SEVENS = np.uint64(0x7F7F_7F7F_7F7F_7F7F)
_ONE = np.uint64(1)
# From seven bits in each byte to all in one: pairs, then pairs of pairs, then the halves.
_SQUEEZE = [
    (np.uint64(1), np.uint64(0x007F_007F_007F_007F), np.uint64(0x7F00_7F00_7F00_7F00)),
    (np.uint64(2), np.uint64(0x0000_3FFF_0000_3FFF), np.uint64(0x3FFF_0000_3FFF_0000)),
    (np.uint64(4), np.uint64(0x0000_0000_0FFF_FFFF), np.uint64(0x0FFF_FFFF_0000_0000)),
]
# Of a word, its first 0, 1, 2 ... 8 bytes.
_FIRST = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], dtype=np.uint64)


class FlatReader:
    """Reads the values of one schema id."""

    def __init__(self, schema_id: int, nodes: Iterable[Node]) -> None:
        self._head = np.uint64(int.from_bytes(b"\0" + schema_id.to_bytes(4, "big"), "little"))
        self._nodes = list(nodes)

    @staticmethod
    def can_read(node: Node) -> bool:
        """Whether a field is of a kind that is read here."""
        if isinstance(node, Temporal):
            return node.unscaled
        return isinstance(node, Scalar) and node.kind in _KINDS

    def read(self, array: pa.BinaryArray) -> list[pa.Array] | None:
        """The logical columns of values, none of which is null; None if any is unsound."""
        count = len(array)
        ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
        first, last = int(ends[0]), int(ends[-1])
        if last == first:
            return None
        # Room behind the end, so that a value's last fields can be read as whole words, too.
        data = np.zeros(last - first + 2 * _WORD * (len(self._nodes) + 2), dtype=np.uint8)
        data[: last - first] = np.frombuffer(array.buffers()[2], dtype=np.uint8)[first:last]
        cursor = _Cursor(data, ends[:-1] - np.int64(first), ends[1:] - np.int64(first))
        if not (cursor.words() & _FIRST[_HEAD] == self._head).all():
            return None
        cursor.at += _HEAD
        columns = []
        for node in self._nodes:
            column = cursor.column(node)
            if column is None:
                return None
            columns.append(column)
        return columns if (cursor.at == cursor.stops).all() else None


class _Cursor:
    """Where we are in each value."""

    def __init__(self, data: NDArray[np.uint8], at: Places, stops: Places) -> None:
        self.data, self.at, self.stops = data, at, stops
        self._buffer = pa.py_buffer(data)
        # A word at every byte.
        self._words: Words = np.ndarray(
            len(data) - _WORD + 1, dtype=np.uint64, buffer=data, strides=(1,)
        )

    def words(self) -> Words:
        """The eight bytes that begin here."""
        found: Words = self._words[self.at]
        return found

    def column(self, node: Node) -> pa.Array | None:
        """A field of all values, or None if one of them is unsound."""
        there: NDArray[np.bool_] | None = None
        if node.nullable:
            branch = self.data[self.at]
            if (branch & 0xFD).any():  # the first branch is written as 0, the second as 2
                return None
            self.at = self.at + 1
            there = (branch == 2) if node.null_first else (branch == 0)
            if there.all():
                there = None
        kind = node.kind if isinstance(node, Scalar | Temporal) else ""
        if kind in ("string", "bytes"):
            return self._text(there, text=kind == "string")
        numbers = self._fixed(kind, there) if kind in _READS else self._varints(kind, there)
        if numbers is None:
            return None
        return self._array(node.logical, numbers, there)

    def _array(
        self, kind: pa.DataType, numbers: NDArray[Any], there: NDArray[np.bool_] | None
    ) -> pa.Array:
        buffers = [_bits(there), pa.py_buffer(numbers)]
        return pa.Array.from_buffers(kind, len(self.at), buffers)

    def _fixed(self, kind: str, there: NDArray[np.bool_] | None) -> NDArray[Any] | None:
        size, dtype = _READS[kind]
        if size == 1:
            truth = self.data[self.at]
            if (truth if there is None else truth[there]).max(initial=0) > 1:
                return None
            self._on(1, there)
            return np.packbits(truth, bitorder="little")
        words = self.words()
        self._on(size, there)
        held: NDArray[Any] = words if size == _WORD else words.astype(np.uint32)
        numbers: NDArray[Any] = held.view(dtype)
        return numbers

    def _varints(self, kind: str, there: NDArray[np.bool_] | None) -> NDArray[Any] | None:
        found = self._varint(there)
        if found is None:
            return None
        numbers, sizes = found
        self._on(sizes, there)
        if kind != "int":
            return numbers
        if there is not None:
            numbers = np.where(there, numbers, 0)
        if numbers.min() < -_INT32 or numbers.max() >= _INT32:
            return None
        return numbers.astype(np.int32)

    def _varint(
        self, there: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """The numbers here and how many bytes they take; None if one takes more than eight."""
        bits = self.words()
        used = ~bits
        used &= _STOPS
        if not (used if there is None else used[there]).all():
            return None
        used ^= used - _ONE  # up to the first byte that has no other after it
        sizes = (np.bitwise_count(used) >> 3).astype(np.int64)
        bits &= used
        bits &= _SEVENS
        for shift, low, high in _SQUEEZE:
            upper = bits & high
            upper >>= shift
            bits &= low
            bits |= upper
        sign = -(bits & _ONE).view(np.int64)
        bits >>= _ONE
        numbers = bits.view(np.int64)
        numbers ^= sign
        return numbers, sizes

    def _text(self, there: NDArray[np.bool_] | None, *, text: bool) -> pa.Array | None:
        lengths: Places
        sizes: Places
        short = self.data[self.at]
        if short.max() < 0x80 and not (short & 1).any():
            lengths, sizes = (short >> 1).astype(np.int64), np.ones(1, dtype=np.int64)
        else:
            found = self._varint(there)
            if found is None:
                return None
            lengths, sizes = found
        if there is not None:
            lengths, sizes = np.where(there, lengths, 0), np.where(there, sizes, 0)
        begin = self.at + sizes
        self.at = begin + lengths
        if lengths.min() < 0 or (self.at > self.stops).any():
            return None
        array = self._views(begin, lengths, _bits(there), pa.string_view() if text else None)
        if text:
            try:
                array.validate(full=True)
            except pa.ArrowInvalid:
                return None
        return array

    def _views(
        self, begin: Places, lengths: Places, valid: pa.Buffer | None, kind: pa.DataType | None
    ) -> pa.Array:
        """Texts as views: a length, and the bytes themselves, or their beginning and place."""
        views = np.empty((len(begin), 2), dtype=np.uint64)
        sizes = lengths.astype(np.uint64)
        head = self._words[begin] & _FIRST[np.minimum(lengths, 4)]
        np.bitwise_or(sizes, head << np.uint64(32), out=views[:, 0])
        rest = self._words[begin + 4] & _FIRST[np.clip(lengths - 4, 0, _WORD)]
        long = lengths > _INLINE
        buffers = [valid, pa.py_buffer(views)]
        if long.any():
            rest = np.where(long, begin.astype(np.uint64) << np.uint64(32), rest)
            buffers.append(self._buffer)
        views[:, 1] = rest
        return pa.Array.from_buffers(kind or pa.binary_view(), len(begin), buffers)

    def _on(self, by: NDArray[np.int64] | int, there: NDArray[np.bool_] | None) -> None:
        self.at = self.at + (by if there is None else np.where(there, by, 0))


_READS: dict[str, tuple[int, Any]] = {
    "boolean": (1, np.uint8),
    "float": (4, np.float32),
    "double": (8, np.float64),
}


def _bits(there: NDArray[np.bool_] | None) -> pa.Buffer | None:
    return None if there is None else pa.py_buffer(np.packbits(there, bitorder="little"))
