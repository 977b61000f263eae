"""Bytes of one length, and decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.events.nodes.base import BadRows, Names, Node, nulls, validity
from vagus.events.nodes.scalar import SCALARS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decimal", "Fixed"]


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
        valid = validity(like)
        for kind in self._floats():
            width = 8 if kind == "double" else 4
            data = np.ascontiguousarray(matrix[:, at : at + width])
            parts.append(
                pa.Array.from_buffers(SCALARS[kind][1], count, [valid, pa.py_buffer(data)])
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
        buffers = [validity(array), pa.py_buffer(data)]
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
        result = pa.Array.from_buffers(self.logical, count, [validity(array), data])
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
