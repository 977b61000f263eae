"""Avro types in columns: a tree of nodes, one for each type of a schema.

A column has two forms. *Storage* is what the Avro library reads and writes: the schema with its
logical types taken off. *Logical* is what a frame holds. A node knows both, and the way between
them; none of the ways walks single values where columns can do it.

Avro text and bytes look the same on the wire, and a `fixed` looks like floats of its size. The
library knows no bytes, no fixed and no decimals, so these travel as text and as floats.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Array", "BadRows", "Enumeration", "Map", "Node", "Record", "Scalar", "Union"]

INT32 = (-(1 << 31), (1 << 31) - 1)


class BadRows:
    """The rows of a batch whose values don't fit, with the reason for each.

    `rows` given to `add` says for each element of a nested column which row it is part of; None
    means that elements are rows; -1 marks elements that are no part of any (under a null).
    """

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def add(
        self, mask: NDArray[np.bool_], rows: NDArray[np.int64] | None, where: str, reason: str
    ) -> None:
        """Note the elements where `mask` is true."""
        hits = np.flatnonzero(mask)
        for row in (hits if rows is None else rows[hits]).tolist():
            if row >= 0:
                self.reasons.setdefault(row, f"{reason} in field {where!r}")


class Node(ABC):
    """One Avro type: how it is stored, and the Polars type that it is in a frame.

    `nullable` is whether it is in a union with null, `null_first` on which side. `fast` is
    whether the columnar library can read it.
    """

    fast = True

    def __init__(self, where: str, dtype: pl.DataType, logical: pa.DataType) -> None:
        self.where = where
        self.dtype = dtype
        self.logical = logical
        self.nullable = False
        self.null_first = True

    # Schemas

    @abstractmethod
    def plain_schema(self, names: Names) -> Any:
        """The Avro type without logical types."""

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        """The Avro type that the columnar library is told."""
        return self.plain_schema(names)

    def wrapped(self, inner: Any) -> Any:
        """The type, in a union with null if it is nullable."""
        if not self.nullable:
            return inner
        return ["null", inner] if self.null_first else [inner, "null"]

    # Columns

    @abstractmethod
    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        """Storage to logical."""

    @abstractmethod
    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        """Logical to storage, for the columnar library."""

    def check_nulls(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> None:
        """Note the nulls of a type that allows none."""
        if not self.nullable and array.null_count:
            bad.add(nulls(array), rows, self.where, "expected a value, got null")

    # Single values: schema defaults, and what the careful path reads

    @abstractmethod
    def plain_type(self) -> pa.DataType:
        """The Arrow type of a column made of `plain_value`s, which `read` takes as well."""

    def plain_value(self, value: Any) -> Any:
        """A value as the Avro library for single values reads it, fit for `plain_type`."""
        return value

    def default_value(self, value: Any) -> Any:
        """A schema's default, fit for `plain_type`."""
        return value

    def default_column(self, value: Any, count: int) -> pa.Array:
        """A logical column of a schema's default."""
        one = self.read(pa.array([self._default(value)], self.plain_type()), None, BadRows())
        return one.take(pa.array(np.zeros(count, dtype=np.int64)))

    def _default(self, value: Any) -> Any:
        return None if value is None else self.default_value(value)


class Names:
    """Gives the named types of a schema new names, since their own are of no use in columns."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"N{self._count}"


def nulls(array: pa.Array) -> NDArray[np.bool_]:
    """Where an array is null."""
    mask: NDArray[np.bool_] = array.is_null().to_numpy(zero_copy_only=False)
    return mask


def _validity(array: pa.Array) -> pa.Buffer | None:
    return array.is_valid().buffers()[1] if array.null_count else None


_SCALARS: dict[str, tuple[pl.DataType, pa.DataType]] = {
    "boolean": (pl.Boolean(), pa.bool_()),
    "int": (pl.Int32(), pa.int32()),
    "long": (pl.Int64(), pa.int64()),
    "float": (pl.Float32(), pa.float32()),
    "double": (pl.Float64(), pa.float64()),
    "string": (pl.String(), pa.string()),
    "bytes": (pl.Binary(), pa.binary()),
}


class Scalar(Node):
    """boolean, int, long, float, double, string, bytes; also a UUID in text."""

    def __init__(self, where: str, kind: str, *, uuid: bool = False) -> None:
        super().__init__(where, *_SCALARS[kind])
        self.kind = kind
        self.uuid = uuid

    def plain_schema(self, names: Names) -> Any:
        return self.kind

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        if self.kind == "bytes":
            return "string"
        # Read wide, so that a number that is too large shows.
        return "long" if self.kind == "int" and reading else self.kind

    def plain_type(self) -> pa.DataType:
        return pa.int64() if self.kind == "int" else self.logical

    def default_value(self, value: Any) -> Any:
        return value.encode("latin-1") if self.kind == "bytes" else value

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        if self.kind == "int":
            return to_int32(self.where, array, rows, bad)
        if self.kind == "bytes":
            return array if pa.types.is_binary(array.type) else array.view(pa.binary())
        if self.kind == "string":
            return self._checked_text(array, rows, bad)
        return array

    def _checked_text(
        self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
    ) -> pa.Array:
        """The library takes any bytes for text; Polars would trust it."""
        text, broken = checked_text(array)
        if broken is not None:
            bad.add(broken, rows, self.where, "expected UTF-8 text")
        return text

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        if self.kind == "string":
            if self.uuid:
                odd = pc.not_equal(pc.binary_length(array), 36).fill_null(False)
                if pc.any(odd).as_py():
                    mask = odd.to_numpy(zero_copy_only=False)
                    bad.add(mask, rows, self.where, "expected a UUID of 36 characters")
            return array if array.type == pa.string() else array.cast(pa.string())
        if self.kind == "bytes":
            return array.cast(pa.binary()).view(pa.string())
        return array


def checked_text(array: pa.StringArray) -> tuple[pa.Array, NDArray[np.bool_] | None]:
    """Text that may not be UTF-8, with null for what isn't, and where that was (None: nowhere)."""
    try:
        array.validate(full=True)
        return array, None
    except pa.ArrowInvalid:
        values = array.view(pa.binary()).to_pylist()
        texts = [None if value is None else _text(value) for value in values]
        broken = [t is None and v is not None for t, v in zip(texts, values, strict=True)]
        return pa.array(texts, pa.string()), np.array(broken, dtype=bool)


def _text(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def to_int32(where: str, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
    """64-bit numbers as 32-bit ones."""
    try:
        return array.cast(pa.int32())
    except pa.ArrowInvalid:
        outside = pc.or_(pc.less(array, INT32[0]), pc.greater(array, INT32[1])).fill_null(False)
        mask = outside.to_numpy(zero_copy_only=False)
        bad.add(mask, rows, where, "expected a number of 32 bits")
        return array.cast(pa.int32(), safe=False)


# logical type: (Avro type, Polars type, Arrow type of a frame's column, factor from storage)
TEMPORAL: dict[str, tuple[str, pl.DataType, pa.DataType, int]] = {
    "timestamp-millis": ("long", pl.Datetime("ms", "UTC"), pa.timestamp("ms", "UTC"), 1),
    "timestamp-micros": ("long", pl.Datetime("us", "UTC"), pa.timestamp("us", "UTC"), 1),
    "timestamp-nanos": ("long", pl.Datetime("ns", "UTC"), pa.timestamp("ns", "UTC"), 1),
    "local-timestamp-millis": ("long", pl.Datetime("ms"), pa.timestamp("ms"), 1),
    "local-timestamp-micros": ("long", pl.Datetime("us"), pa.timestamp("us"), 1),
    "local-timestamp-nanos": ("long", pl.Datetime("ns"), pa.timestamp("ns"), 1),
    "duration-micros": ("long", pl.Duration("us"), pa.duration("us"), 1),
    "date": ("int", pl.Date(), pa.date32(), 1),
    "time-millis": ("int", pl.Time(), pa.time64("ns"), 1_000_000),
    "time-micros": ("long", pl.Time(), pa.time64("ns"), 1_000),
}
_DAY_NS = 86_400_000_000_000


class Temporal(Node):
    """Dates, times, instants and spans: numbers in storage."""

    def __init__(self, where: str, logical_type: str) -> None:
        self.kind, dtype, logical, self._factor = TEMPORAL[logical_type]
        super().__init__(where, dtype, logical)
        self.logical_type = logical_type

    def plain_schema(self, names: Names) -> Any:
        return self.kind

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        return "long" if reading else self.kind

    def plain_type(self) -> pa.DataType:
        return pa.int64()

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        if self._factor != 1:
            top = _DAY_NS // self._factor
            outside = pc.or_(pc.less(array, 0), pc.greater_equal(array, top)).fill_null(False)
            if pc.any(outside).as_py():
                mask = outside.to_numpy(zero_copy_only=False)
                bad.add(mask, rows, self.where, "expected a time of day")
                array = pc.if_else(outside, pa.scalar(0, pa.int64()), array)
            return pc.multiply(array, self._factor).view(self.logical)
        if self.kind == "int":
            array = to_int32(self.where, array, rows, bad)
        return array.view(self.logical)

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        if array.type == pa.date32():
            return array.view(pa.int32())
        numbers = array.view(pa.int64())
        if self._factor != 1:
            numbers = pc.divide(numbers, self._factor)
        return numbers.cast(pa.int32()) if self.kind == "int" else numbers


class Fixed(Node):
    """Bytes of one length. In the columnar library they pass for floats."""

    def __init__(self, where: str, size: int) -> None:
        super().__init__(where, pl.Binary(), pa.binary())
        self.size = size
        self.fast = size > 0 and size % 4 == 0

    def plain_schema(self, names: Names) -> Any:
        return {"type": "fixed", "name": names.new(), "size": self.size}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        kinds = self._floats()
        if len(kinds) == 1:
            return kinds[0]
        fields = [{"name": f"f{place}", "type": kind} for place, kind in enumerate(kinds)]
        return {"type": "record", "name": names.new(), "fields": fields}

    def _floats(self) -> list[str]:
        return ["double"] * (self.size // 8) + ["float"] * (self.size % 8 // 4)

    def plain_type(self) -> pa.DataType:
        return pa.binary(self.size)

    def default_value(self, value: Any) -> Any:
        return value.encode("latin-1")

    def matrix(self, array: pa.Array) -> NDArray[np.uint8]:
        """Storage as rows of bytes."""
        count = len(array)
        if pa.types.is_fixed_size_binary(array.type):
            data = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8)
            return data.reshape(-1, self.size)[array.offset : array.offset + count]
        parts = array.flatten() if pa.types.is_struct(array.type) else [array]
        out = np.zeros((count, self.size), dtype=np.uint8)
        at = 0
        for part in parts:
            width = part.type.bit_width // 8
            data = np.frombuffer(part.buffers()[1] or b"", dtype=np.uint8)
            start = part.offset * width
            out[:, at : at + width] = data[start : start + count * width].reshape(count, width)
            at += width
        return out

    def floats(self, matrix: NDArray[np.uint8], like: pa.Array) -> pa.Array:
        """Rows of bytes as storage, null where `like` is."""
        count, parts, at = len(matrix), [], 0
        valid = _validity(like)
        for kind in self._floats():
            width = 8 if kind == "double" else 4
            data = np.ascontiguousarray(matrix[:, at : at + width])
            parts.append(
                pa.Array.from_buffers(_SCALARS[kind][1], count, [valid, pa.py_buffer(data)])
            )
            at += width
        if len(parts) == 1:
            return parts[0]
        names = [f"f{place}" for place in range(len(parts))]
        mask = like.is_null() if like.null_count else None
        return pa.StructArray.from_arrays(parts, names, mask=mask)

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        data = np.ascontiguousarray(self.matrix(array))
        kind = pa.binary(self.size)
        buffers = [_validity(array), pa.py_buffer(data)]
        return pa.Array.from_buffers(kind, len(array), buffers).cast(pa.binary())

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        odd = pc.not_equal(pc.binary_length(array), self.size).fill_null(False)
        if pc.any(odd).as_py():
            mask = odd.to_numpy(zero_copy_only=False)
            bad.add(mask, rows, self.where, f"expected {self.size} bytes")
            array = pc.if_else(odd, None, array)
        filled = array.cast(pa.binary()).fill_null(bytes(self.size))
        ends = np.frombuffer(filled.buffers()[1], dtype=np.int32)
        data = np.frombuffer(filled.buffers()[2] or b"", dtype=np.uint8)
        data = data[ends[filled.offset] : ends[filled.offset + len(filled)]]
        return self.floats(data.reshape(-1, self.size), array)


class Decimal(Fixed):
    """A decimal in a fixed, or in bytes of any length."""

    def __init__(self, where: str, size: int | None, precision: int, scale: int) -> None:
        super().__init__(where, size or 0)
        self.in_bytes = size is None
        self.fast = self.in_bytes or (self.size % 4 == 0 and self.size <= 16)
        self.precision, self.scale = precision, scale
        self.dtype = pl.Decimal(precision, scale)
        self.logical = pa.decimal128(precision, scale)

    def plain_schema(self, names: Names) -> Any:
        return "bytes" if self.in_bytes else super().plain_schema(names)

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        return "string" if self.in_bytes else super().library_schema(names, reading=reading)

    def plain_type(self) -> pa.DataType:
        return pa.binary() if self.in_bytes else super().plain_type()

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        count = len(array)
        if self.in_bytes or self.size > 16:
            matrix, wide = self._from_bytes(array)
        else:
            matrix, wide = self.matrix(array), np.zeros(count, dtype=bool)
        out = np.empty((count, 16), dtype=np.uint8)
        size = matrix.shape[1]
        out[:, :size] = matrix[:, ::-1]
        if size < 16:
            out[:, size:] = np.where(matrix[:, :1] & 0x80, 0xFF, 0)
        data = pa.py_buffer(out)
        result = pa.Array.from_buffers(self.logical, count, [_validity(array), data])
        wide |= _too_large(out, self.precision)
        if wide.any():
            bad.add(wide, rows, self.where, f"expected a number of {self.precision} digits")
            result = pc.if_else(pa.array(wide), pa.scalar(None, self.logical), result)
        return result

    def _from_bytes(self, array: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Decimals of any length, one by one: foreign schemas have them, events don't."""
        binary = (
            array.cast(pa.binary())
            if not pa.types.is_string(array.type)
            else array.view(pa.binary())
        )
        out, wide = bytearray(), np.zeros(len(array), dtype=bool)
        for row, value in enumerate(binary.to_pylist()):
            number = int.from_bytes(value or b"", "big", signed=True)
            if not -(1 << 127) <= number < 1 << 127:
                wide[row], number = True, 0
            out += number.to_bytes(16, "big", signed=True)
        return np.frombuffer(out, dtype=np.uint8).reshape(-1, 16), wide

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        count = len(array)
        data = np.frombuffer(array.buffers()[1] or b"", dtype=np.uint8).reshape(-1, 16)
        data = data[array.offset : array.offset + count]
        large = _too_large(data, self.precision) & ~nulls(array)
        if large.any():
            bad.add(large, rows, self.where, f"expected a number of {self.precision} digits")
        if not self.in_bytes:
            return self.floats(data[:, : self.size][:, ::-1], array)
        numbers = [int.from_bytes(value.tobytes(), "little", signed=True) for value in data]
        values = [
            None if gone else number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True)
            for number, gone in zip(numbers, nulls(array).tolist(), strict=True)
        ]
        return pa.array(values, pa.binary()).view(pa.string())


def _too_large(data: NDArray[np.uint8], precision: int) -> NDArray[np.bool_]:
    """Which 16-byte numbers have more digits than `precision`."""
    halves = np.ascontiguousarray(data).view(np.int64)
    high, low = halves[:, 1], halves[:, 0]
    limit = 10**precision
    large: NDArray[np.bool_]
    if precision <= 18:
        large = (high != low >> 63) | (low >= limit) | (low <= -limit)
        return large
    top = limit >> 64
    large = (high >= top) | (high <= -top - 1)
    for row in np.flatnonzero(large):  # so near the limit that the lower half decides
        large[row] = abs(int.from_bytes(data[row].tobytes(), "little", signed=True)) >= limit
    return large


class Enumeration(Node):
    """One of a set of symbols; text in a frame."""

    def __init__(self, where: str, symbols: Sequence[str], default: str | None) -> None:
        super().__init__(where, pl.String(), pa.string())
        self.symbols = list(symbols)
        self.default = default

    def plain_schema(self, names: Names) -> Any:
        return {"type": "enum", "name": names.new(), "symbols": self.symbols}

    def plain_type(self) -> pa.DataType:
        return pa.string()

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        return array

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        array = array.cast(pa.string())
        self.check(array, rows, bad)
        return array

    def check(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> None:
        """Note the values that aren't symbols."""
        known = pc.is_in(array, pa.array(self.symbols, pa.string()))
        if not pc.all(known).as_py():
            mask = ~known.to_numpy(zero_copy_only=False) & ~nulls(array)
            bad.add(mask, rows, self.where, f"expected one of {', '.join(self.symbols)}")


def _lengths(array: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_map(array.type):
        # The library gives a null map no entries, so that the lengths add up to the entries.
        lengths: NDArray[np.int64] = np.diff(np.asarray(array.offsets)).astype(np.int64)
        return lengths
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(counts, dtype=np.int64)


def _offsets(lengths: NDArray[np.int64]) -> pa.Array:
    ends = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=ends[1:])
    return pa.array(ends)


def _inner_rows(rows: NDArray[np.int64] | None, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    outer = np.arange(len(lengths)) if rows is None else rows
    return np.repeat(outer, lengths)


class Array(Node):
    """A list of items."""

    def __init__(self, where: str, item: Node) -> None:
        super().__init__(where, pl.List(item.dtype), pa.list_(item.logical))
        self.item = item
        self.fast = item.fast

    def plain_schema(self, names: Names) -> Any:
        return {"type": "array", "items": self.item.wrapped(self.item.plain_schema(names))}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        inner = self.item.library_schema(names, reading=reading)
        return {"type": "array", "items": self.item.wrapped(inner)}

    def plain_type(self) -> pa.DataType:
        return pa.list_(self.item.plain_type())

    def plain_value(self, value: Any) -> Any:
        return [None if item is None else self.item.plain_value(item) for item in value]

    def default_value(self, value: Any) -> Any:
        return [self.item._default(item) for item in value]

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        return self.each(array, rows, lambda items, inner: self.item.read(items, inner, bad))

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        return self.each(array, rows, lambda items, inner: self.item.write(items, inner, bad))

    @staticmethod
    def each(array: pa.Array, rows: NDArray[np.int64] | None, change: Any) -> pa.Array:
        """The same lists, of changed items."""
        lengths = _lengths(array)
        items = change(array.flatten(), _inner_rows(rows, lengths))
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(_offsets(lengths), items, mask=mask)


class Map(Node):
    """Values by text keys; a list of pairs in a frame."""

    def __init__(self, where: str, value: Node) -> None:
        pair = pl.Struct({"key": pl.String(), "value": value.dtype})
        logical = pa.struct([("key", pa.string()), ("value", value.logical)])
        super().__init__(where, pl.List(pair), pa.list_(logical))
        self.value = value
        self.key = Scalar(where, "string")
        self.fast = value.fast

    def plain_schema(self, names: Names) -> Any:
        return {"type": "map", "values": self.value.wrapped(self.value.plain_schema(names))}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        inner = self.value.library_schema(names, reading=reading)
        return {"type": "map", "values": self.value.wrapped(inner)}

    def plain_type(self) -> pa.DataType:
        pair = pa.struct([("key", pa.string()), ("value", self.value.plain_type())])
        return pa.list_(pair)

    def plain_value(self, value: Any) -> Any:
        return [
            {"key": key, "value": None if item is None else self.value.plain_value(item)}
            for key, item in value.items()
        ]

    def default_value(self, value: Any) -> Any:
        return [{"key": key, "value": self.value._default(item)} for key, item in value.items()]

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        lengths = _lengths(array)
        inner = _inner_rows(rows, lengths)
        keys, values = _pairs(array)
        pairs = pa.StructArray.from_arrays(
            [self.key.read(keys, inner, bad), self.value.read(values, inner, bad)],
            ["key", "value"],
        )
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(_offsets(lengths), pairs, mask=mask)

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        lengths = _lengths(array)
        inner = _inner_rows(rows, lengths)
        keys, values = _pairs(array)
        mask = array.is_null() if array.null_count else None
        keys = self.key.write(keys, inner, bad).fill_null("")  # nulls are noted, and no keys
        return pa.MapArray.from_arrays(
            _offsets(lengths), keys, self.value.write(values, inner, bad), mask=mask
        )


def _pairs(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    if not pa.types.is_map(array.type):
        keys, values = array.flatten().flatten()
        return keys, values
    ends = np.asarray(array.offsets)
    start, count = int(ends[0]), int(ends[-1] - ends[0])
    return array.keys.slice(start, count), array.items.slice(start, count)


class Record(Node):
    """Fields by name. `declared` holds what the schema says of each, such as its default."""

    def __init__(
        self, where: str, fields: dict[str, Node], declared: Sequence[dict[str, Any]] = ()
    ) -> None:
        dtype = pl.Struct({name: field.dtype for name, field in fields.items()})
        logical = pa.struct([(name, field.logical) for name, field in fields.items()])
        super().__init__(where, dtype, logical)
        self.fields = fields
        self._declared = {part["name"]: part for part in declared}
        self.fast = all(field.fast for field in fields.values())

    def avro(self, name: str) -> dict[str, Any]:
        """What the schema says of a field."""
        return self._declared.get(name, {})

    def plain_schema(self, names: Names) -> Any:
        fields = [
            {"name": name, "type": field.wrapped(field.plain_schema(names))}
            for name, field in self.fields.items()
        ]
        return {"type": "record", "name": names.new(), "fields": fields}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        fields = [
            {"name": name, "type": field.wrapped(field.library_schema(names, reading=reading))}
            for name, field in self.fields.items()
        ]
        return {"type": "record", "name": names.new(), "fields": fields}

    def plain_type(self) -> pa.DataType:
        return pa.struct([(name, field.plain_type()) for name, field in self.fields.items()])

    def plain_value(self, value: Any) -> Any:
        return {
            name: None if value[name] is None else field.plain_value(value[name])
            for name, field in self.fields.items()
        }

    def default_value(self, value: Any) -> Any:
        return {name: field._default(value.get(name)) for name, field in self.fields.items()}

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        return self.each(array, rows, lambda f, child, inner: f.read(child, inner, bad))

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        return self.each(array, rows, lambda f, child, inner: f.write(child, inner, bad))

    def each(self, array: pa.Array, rows: NDArray[np.int64] | None, change: Any) -> pa.Array:
        """The same structs, of changed fields."""
        inner = alive(array, rows)
        children = [
            change(field, child, inner)
            for field, child in zip(
                # Not `flatten`, which gives children the nulls of their parent: unions can't
                # have any, and Arrow aborts.
                self.fields.values(),
                map(array.field, range(len(self.fields))),
                strict=True,
            )
        ]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, list(self.fields), mask=mask)


def alive(array: pa.Array, rows: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """The rows of an array's elements, without those that are null."""
    if not array.null_count:
        return rows
    outer = np.arange(len(array)) if rows is None else rows
    return np.where(nulls(array), -1, outer)


class Union(Node):
    """One of several types; in a frame a struct, with a value in one of its members.

    `null_place` is where null stands among the branches, if it is one of them.
    """

    def __init__(self, where: str, branches: dict[str, Node], null_place: int | None) -> None:
        dtype = pl.Struct({name: branch.dtype for name, branch in branches.items()})
        logical = pa.struct([(name, branch.logical) for name, branch in branches.items()])
        super().__init__(where, dtype, logical)
        self.branches = branches
        self.null_place = null_place
        self.nullable = null_place is not None
        self.fast = all(branch.fast for branch in branches.values())
        self._codes = [
            place + (null_place is not None and place >= null_place)
            for place in range(len(branches))
        ]

    def wrapped(self, inner: Any) -> Any:
        return inner

    def plain_schema(self, names: Names) -> Any:
        # A record of one field is written as the field: its name tells which branch was read.
        return self._with_null(
            [
                {
                    "type": "record",
                    "name": names.new(),
                    "fields": [{"name": name, "type": branch.plain_schema(names)}],
                }
                for name, branch in zip(self._members(), self.branches.values(), strict=True)
            ]
        )

    def _members(self) -> list[str]:
        return [f"v{place}" for place in range(len(self.branches))]

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        return self._with_null(
            [branch.library_schema(names, reading=reading) for branch in self.branches.values()]
        )

    def _with_null(self, kinds: list[Any]) -> list[Any]:
        if self.null_place is None:
            return kinds
        return [*kinds[: self.null_place], "null", *kinds[self.null_place :]]

    def plain_type(self) -> pa.DataType:
        return pa.struct([(name, branch.plain_type()) for name, branch in self.branches.items()])

    def plain_value(self, value: Any) -> Any:
        ((member, inner),) = value.items()
        name = list(self.branches)[int(member[1:])]
        return {name: self.branches[name].plain_value(inner)}

    def default_value(self, value: Any) -> Any:
        name, branch = next(iter(self.branches.items()))  # a default is of the first branch
        return {name: branch.default_value(value)}

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        here = np.arange(len(array))
        mask = None
        if pa.types.is_union(array.type):
            codes = np.asarray(array.type_codes)
            members = [array.field(code) for code in self._codes]
            others = [codes != code for code in self._codes]
            if self.null_place is not None:
                mask = pa.array(codes == self.null_place)
        else:
            members = array.flatten()
            others = [nulls(member) for member in members]
            mask = array.is_null() if array.null_count else None
        outer = here if rows is None else rows
        children = []
        for branch, member, other in zip(self.branches.values(), members, others, strict=True):
            child = branch.read(member, np.where(other, -1, outer), bad)
            children.append(child.take(pa.array(here, mask=other)))
        return pa.StructArray.from_arrays(children, list(self.branches), mask=mask)

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        count = len(array)
        members = array.flatten()
        given = np.array([~nulls(member) for member in members])
        several = given.sum(axis=0)
        wrong = several > 1 if self.nullable else several != 1
        if wrong.any():
            names = ", ".join(self.branches)
            bad.add(wrong, rows, self.where, f"expected a value in one of {names}")
        codes = np.full(count, self.null_place or 0, dtype=np.int8)
        outer = np.arange(count) if rows is None else rows
        children: list[pa.Array] = []
        for place, (branch, member) in enumerate(zip(self.branches.values(), members, strict=True)):
            codes[given[place]] = self._codes[place]
            inner = np.where(given[place], outer, -1)
            children.append(branch.write(member, inner, bad))
        if self.null_place is not None:
            children.insert(self.null_place, pa.nulls(count))
        return pa.UnionArray.from_sparse(pa.array(codes), children)
