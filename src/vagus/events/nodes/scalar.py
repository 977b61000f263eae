"""Numbers, booleans, text and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.events.nodes.base import BadRows, Names, Node

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SCALARS", "Scalar", "checked_text", "to_int32"]

INT32 = (-(1 << 31), (1 << 31) - 1)

SCALARS: dict[str, tuple[pl.DataType, pa.DataType]] = {
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
        super().__init__(where, *SCALARS[kind])
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
        broken = np.zeros(len(array), dtype=bool)
        odd = pc.invert(pc.string_is_ascii(array)).fill_null(False).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(odd)
        values = array.view(pa.binary()).take(pa.array(places)).to_pylist()
        broken[places[[not _is_text(value) for value in values]]] = True
        return pc.if_else(pa.array(broken), pa.scalar(None, pa.string()), array), broken


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


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
