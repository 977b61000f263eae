"""A column of byte strings: what hubs store and what codecs make and read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from vagus.errors import EncodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["BytesColumn"]


_FEW = 4_096  # values that are quicker put together here than by Polars
_SMALL_BYTES = 1 << 28


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
        self._parts: list[pa.BinaryArray] = []
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
        if all(column._array is None and not column._parts for column in columns):
            return cls([value for column in columns for value in column.to_list()])
        whole = cls([])
        whole._list = None
        whole._parts = [part for column in columns for part in column._arrays()]
        return whole

    def __len__(self) -> int:
        if self._list is not None:
            return len(self._list)
        return sum(map(len, self._arrays()))

    def __repr__(self) -> str:
        return f"BytesColumn({len(self)} values, {self.null_count} null)"

    @property
    def null_count(self) -> int:
        """How many of the values are null."""
        if self._list is not None:
            return self._list.count(None)
        return sum(int(part.null_count) for part in self._arrays())

    @property
    def nbytes(self) -> int:
        """How many bytes the values hold, without their lengths."""
        if self._array is None and self._list is not None:
            if self._nbytes is None:
                self._nbytes = sum(map(len, filter(None, self._list)))
            return self._nbytes
        return sum(map(_content_bytes, self._arrays()))

    def to_arrow(self) -> pa.BinaryArray:
        """The column as an Arrow binary array."""
        if self._array is None:
            if self._parts:
                self._array = pa.concat_arrays(self._parts)
                self._parts = []
            else:
                assert self._list is not None
                self._array = _from_list(self._list)
        return self._array

    def to_list(self) -> list[bytes | None]:
        """The column as a list; do not change it."""
        if self._list is None:
            # Polars makes Python objects of an Arrow array in half the time Arrow does itself.
            self._list = pl.Series(pa.chunked_array(self._arrays(), pa.binary())).to_list()
        return self._list

    def _arrays(self) -> list[pa.BinaryArray]:
        return self._parts or [self.to_arrow()]

    def without_nulls(self) -> tuple[BytesColumn, NDArray[np.uint32], NDArray[np.uint32]]:
        """The values that aren't null, the rows they are in, and the rows of the nulls."""
        every = np.arange(len(self), dtype=np.uint32)
        if not self.null_count:
            return self, every, every[:0]
        if self._list is not None:
            present = BytesColumn([value for value in self._list if value is not None])
            gone = np.array([value is None for value in self._list])
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
        if self._array is None and self._list is not None:
            return BytesColumn(self._list[start:stop])
        return BytesColumn(self.to_arrow().slice(start, stop - start))


def truths(array: pa.BooleanArray) -> NDArray[np.bool_]:
    """Truth values, of which none is null, for NumPy.

    Arrow's own `to_numpy` imports pandas where that is installed, amid a batch.
    """
    bits = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
    found = np.unpackbits(bits, count=array.offset + len(array), bitorder="little")
    return found[array.offset :].view(np.bool_)


def _content_bytes(array: pa.BinaryArray) -> int:
    if not len(array):
        return 0
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return int(ends[array.offset + len(array)] - ends[array.offset])


def _from_list(values: list[bytes | None]) -> pa.BinaryArray:
    # `pa.array` would import pandas, where it is installed, to see whether it was given a series.
    if len(values) <= _FEW and None not in values:
        ends = np.zeros(len(values) + 1, dtype=np.int32)
        np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=ends[1:])  # type: ignore[arg-type]
        data = pa.py_buffer(b"".join(values))  # type: ignore[arg-type]
        if data.size <= _SMALL_BYTES:
            return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(ends), data])
    array = pl.Series(values, dtype=pl.Binary).to_arrow(compat_level=pl.CompatLevel.oldest())
    try:
        return array.cast(pa.binary())
    except pa.ArrowInvalid as error:
        raise EncodeError(
            f"expected a column of less than 2 GiB, got {array.nbytes} bytes",
            hint="append in smaller batches",
        ) from error
