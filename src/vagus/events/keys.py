"""Keys as bytes, in columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from vagus.errors import DeclarationError, EncodeError
from vagus.events.column import BytesColumn, truths
from vagus.events.decoded import BadValue
from vagus.events.nodes import checked_text
from vagus.events.rowwriter import FEW

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KeyCodec", "KeyType"]

KeyType = Literal["str", "int", "uuid", "bytes"]
"""How a key is written: UTF-8 text, 8 bytes big-endian, a UUID as text, or as it is."""

_DTYPES: dict[str, pl.DataType] = {
    "str": pl.String(),
    "int": pl.Int64(),
    "uuid": pl.String(),
    "bytes": pl.Binary(),
}
_UUID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"


class KeyCodec:
    r"""Writes a column of keys as bytes, and reads it again. Nulls stay nulls.

    >>> codec = KeyCodec("int")
    >>> keys = codec.encode(pl.Series([1, None]))
    >>> keys.to_list()
    [b'\x00\x00\x00\x00\x00\x00\x00\x01', None]
    >>> codec.decode(keys)[0].to_list()
    [1, None]
    """

    def __init__(self, kind: KeyType) -> None:
        if kind not in get_args(KeyType):
            raise DeclarationError(
                f"expected a type of key among {', '.join(get_args(KeyType))}, got {kind!r}"
            )
        self.kind = kind
        self.dtype = _DTYPES[kind]

    def encode(self, series: pl.Series) -> BytesColumn:
        """The keys as bytes. Raises EncodeError, with the rows, for keys of another type."""
        keys = self._fit(series)
        if self.kind == "int":
            return _from_ints(keys)
        if len(keys) <= FEW and self.kind != "bytes":
            return BytesColumn([None if key is None else key.encode() for key in keys.to_list()])
        array = keys.to_arrow(compat_level=pl.CompatLevel.oldest())
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if self.kind == "bytes":
            return BytesColumn(array.cast(pa.binary()))
        return BytesColumn(array.cast(pa.string()).view(pa.binary()))

    def _fit(self, series: pl.Series) -> pl.Series:
        if series.dtype == self.dtype:
            keys = series
        elif series.dtype == pl.Null:
            keys = series.cast(self.dtype)
        elif self.kind == "bytes" or (self.kind == "int" and not series.dtype.is_integer()):
            raise self._refused(series, list(range(len(series))))
        else:
            keys = series.cast(self.dtype, strict=False)
            if keys.null_count() > series.null_count():
                lost = (keys.is_null() & series.is_not_null()).arg_true().to_list()
                raise self._refused(series, lost)
        if self.kind == "uuid":
            keys = keys.str.to_lowercase()
            odd = (~keys.str.contains(_UUID)).arg_true().to_list()
            if odd:
                raise self._refused(series, odd)
        return keys

    def _refused(self, series: pl.Series, rows: list[int]) -> EncodeError:
        got = f"{series.dtype} {series[rows[0]]!r}" if rows else str(series.dtype)
        return EncodeError(
            f"expected keys of type {self.kind}, got {got}",
            where=series.name or "key",
            hint="cast the column, or declare the topic with another type of key",
            rows=rows,
        )

    def decode(self, column: BytesColumn) -> tuple[pl.Series, list[BadValue]]:
        """The keys, and those that can't be read, which are null in the series."""
        array = column.to_arrow()
        if self.kind == "int":
            return _to_ints(array)
        if self.kind == "bytes":
            return pl.Series(array), []
        text, broken = checked_text(array.view(pa.string()))
        series = pl.Series(text)
        bad = [] if broken is None else np.flatnonzero(broken).tolist()
        errors = [BadValue(row, "expected a key of UTF-8 text", array[row].as_py()) for row in bad]
        if self.kind == "uuid":
            lower = series.str.to_lowercase()
            odd = ~lower.str.contains(_UUID)
            rows = odd.arg_true().to_list()
            errors += [
                BadValue(row, "expected a key that is a UUID", array[row].as_py()) for row in rows
            ]
            series = lower.set(odd.fill_null(False), None) if rows else lower
        return series, sorted(errors, key=lambda error: error.row)


def _from_ints(keys: pl.Series) -> BytesColumn:
    count = len(keys)
    numbers = keys.fill_null(0).to_numpy().astype(">i8")
    valid = None
    ends = np.arange(0, 8 * count + 1, 8, dtype=np.int32)
    if keys.null_count():
        gone = keys.is_null().to_numpy()
        valid = pa.array(~gone).buffers()[1]
        numbers = numbers[~gone]
        ends = np.zeros(count + 1, dtype=np.int32)
        np.cumsum(np.where(gone, 0, 8), out=ends[1:])
    data = pa.py_buffer(numbers.tobytes())
    return BytesColumn(pa.Array.from_buffers(pa.binary(), count, [valid, pa.py_buffer(ends), data]))


def _to_ints(array: pa.BinaryArray) -> tuple[pl.Series, list[BadValue]]:
    count = len(array)
    if not count:
        return pl.Series([], dtype=pl.Int64), []
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
    lengths = np.diff(ends)
    data: NDArray[Any] = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)
    if (lengths == 8).all():
        raw = data[ends[0] : ends[-1]]
        numbers = np.frombuffer(raw.tobytes(), dtype=">i8").astype(np.int64)
        if not array.null_count:
            return pl.Series(numbers), []
    gone = truths(array.is_null())
    sound = (lengths == 8) & ~gone
    numbers = np.zeros(count, dtype=np.int64)
    at = ends[:-1][sound].astype(np.int64)
    picked = data[at[:, None] + np.arange(8)] if len(at) else np.zeros((0, 8), dtype=np.uint8)
    numbers[sound] = picked.copy().view(">i8").ravel()
    errors = [
        BadValue(row, f"expected a key of 8 bytes, got {lengths[row]}", array[row].as_py())
        for row in np.flatnonzero(~sound & ~gone).tolist()
    ]
    series = pl.Series(numbers)
    return series.set(pl.Series(~sound), None), errors
