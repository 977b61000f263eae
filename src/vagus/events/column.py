"""A column of byte strings: what hubs store and what codecs make and read."""

from __future__ import annotations

from array import array
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl
import pyarrow as pa

from vagus.errors import EncodeError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["BytesColumn"]


_FEW = 4_096  # values that are quicker put together here than by Polars
_SMALL_BYTES = 1 << 28
_PIECE = 8_192  # values whose Python objects fit into a processor's cache


class BytesColumn:
    """An immutable column of nullable byte strings, held as a list or as an Arrow array.

    A hub on disk reads Arrow arrays, a Kafka client yields lists, the codecs want now one and
    now the other. The column starts in the form it was given and makes the other one once, when
    it is first asked for. Columns put one after another are only copied into one when that
    is asked for, too.

    >>> column = BytesColumn([b"a", None])
    >>> len(column), column.null_count, column.to_arrow().to_pylist()
    (2, 1, [b'a', None])
    """

    __slots__ = ("_array", "_list", "_nbytes", "_parts")

    def __init__(self, values: Sequence[bytes | None] | pa.BinaryArray) -> None:
        self._list: list[bytes | None] | None = None
        self._array: pa.BinaryArray | None = None
        self._parts: list[BytesColumn] = []  # each a list or an array
        self._nbytes: int | None = None
        if isinstance(values, pa.Array):
            self._array = values if pa.types.is_binary(values.type) else values.cast(pa.binary())
        else:
            self._list = values if isinstance(values, list) else list(values)

    @classmethod
    def nulls(cls, count: int) -> BytesColumn:
        """A column of `count` nulls."""
        return cls(pa.nulls(count, pa.binary()))

    @classmethod
    def concat(cls, columns: Sequence[BytesColumn]) -> BytesColumn:
        """The columns one after another."""
        if len(columns) == 1:
            return columns[0]
        whole = cls([])
        parts = [part for column in columns for part in column._leaves()]
        if len(parts) > 1:
            whole._list, whole._parts = None, parts
        return whole

    def __len__(self) -> int:
        if self._parts:
            return sum(map(len, self._parts))
        return len(self.to_list() if self._array is None else self._array)

    def __repr__(self) -> str:
        return f"BytesColumn({len(self)} values, {self.null_count} null)"

    @property
    def null_count(self) -> int:
        """How many of the values are null."""
        if self._parts:
            return sum(part.null_count for part in self._parts)
        if self._array is None:
            return self.to_list().count(None)
        return int(self._array.null_count)

    @property
    def nbytes(self) -> int:
        """How many bytes the values hold, without their lengths."""
        if self._nbytes is None:
            if self._parts:
                self._nbytes = sum(part.nbytes for part in self._parts)
            elif self._array is None:
                self._nbytes = sum(map(len, filter(None, self.to_list())))
            else:
                self._nbytes = _content_bytes(self._array)
        return self._nbytes

    def to_arrow(self) -> pa.BinaryArray:
        """The column as an Arrow binary array."""
        if self._array is None:
            if self._as_lists():
                self._array = _from_list(self.to_list())
            else:
                self._array = pa.concat_arrays(self._arrays())
                self._parts = []
        return self._array

    def to_list(self) -> list[bytes | None]:
        """The column as a list; do not change it."""
        if self._list is None:
            if self._as_lists():
                self._list = list(chain.from_iterable(part.to_list() for part in self._parts))
                self._parts = []
            else:
                self._list = _objects(pa.chunked_array(self._arrays(), pa.binary()))
        return self._list

    def packed(self) -> tuple[array[int], bytes] | None:
        """As an Arrow array has them, without one: where the values begin and end, and all of them.

        None unless the column is held as a list of few values, none of them null.
        """
        return _packed(self._list) if self._list and self._array is None else None

    def pieces(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """The column as lists, one after another, each with the place of its first value.

        Objects that must be made are made for one piece at a time: half of what a million of them
        costs is memory that is fetched and given back; that of a piece serves the next one, too.
        """
        count = len(self)
        if count <= _PIECE or self._list is not None or self._as_lists():
            yield 0, self.to_list()
            return
        array = pa.chunked_array(self._arrays(), pa.binary())
        for start in range(0, count, _PIECE):
            yield start, _objects(array.slice(start, _PIECE))

    def _as_lists(self) -> bool:
        """Whether all of the column is held as lists, and nothing of it as an array."""
        return all(part._array is None for part in self._leaves())

    def _leaves(self) -> list[BytesColumn]:
        return self._parts or [self]

    def _arrays(self) -> list[pa.BinaryArray]:
        return [part.to_arrow() for part in self._leaves()]

    def without_nulls(self) -> tuple[BytesColumn, NDArray[np.uint32], NDArray[np.uint32]]:
        """The values that aren't null, the rows they are in, and the rows of the nulls."""
        every = np.arange(len(self), dtype=np.uint32)
        if not self.null_count:
            return self, every, every[:0]
        if self._as_lists():
            values = self.to_list()
            present = BytesColumn([value for value in values if value is not None])
            gone = np.array([value is None for value in values])
        else:
            array = self.to_arrow()
            present = BytesColumn(array.drop_null())
            gone = truths(array.is_null())
        return present, every[~gone], every[gone]

    def take(self, rows: NDArray[np.integer[Any]]) -> BytesColumn:
        """The values at `rows`, in that order."""
        # Not pa.array, which would import pandas to see whether this is a series.
        places = np.ascontiguousarray(rows, dtype=np.int64)
        wanted = pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
        return BytesColumn(self.to_arrow().take(wanted))

    def slice(self, start: int, stop: int) -> BytesColumn:
        """The values from `start` up to, but without, `stop`."""
        if self._as_lists():
            return BytesColumn(self.to_list()[start:stop])
        return BytesColumn(self.to_arrow().slice(start, stop - start))


def truths(array: pa.BooleanArray) -> NDArray[np.bool_]:
    """Truth values, of which none is null, for NumPy.

    Arrow's own `to_numpy` imports pandas where that is installed, amid a batch.
    """
    bits = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
    found = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")
    return found[array.offset :].view(np.bool_)


def _objects(array: pa.ChunkedArray) -> list[bytes | None]:
    # Polars makes Python objects of an Arrow array in half the time Arrow does itself.
    found: list[bytes | None] = pl.Series(array).to_list()
    return found


def _content_bytes(array: pa.BinaryArray) -> int:
    if not len(array):
        return 0
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return int(ends[array.offset + len(array)] - ends[array.offset])


def _packed(values: list[bytes | None]) -> tuple[array[int], bytes] | None:
    if len(values) > _FEW or None in values:
        return None
    whole = cast("list[bytes]", values)
    data = b"".join(whole)
    if len(data) > _SMALL_BYTES:
        return None
    return array("i", accumulate(map(len, whole), initial=0)), data


def _from_list(values: list[bytes | None]) -> pa.BinaryArray:
    # `pa.array` would import pandas, where it is installed, to see whether it was given a series.
    packed = _packed(values)
    if packed is not None:
        buffers = [None, *map(pa.py_buffer, packed)]
        return pa.Array.from_buffers(pa.binary(), len(values), buffers)
    held = pl.Series(values, dtype=pl.Binary).to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        return held.cast(pa.binary())
    except pa.ArrowInvalid as error:
        raise EncodeError(
            f"expected a column of less than 2 GiB, got {held.nbytes} bytes",
            hint="append in smaller batches",
        ) from error
