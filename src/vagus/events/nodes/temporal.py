"""Dates, times, instants and spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.events.nodes.base import BadRows, Names, Node
from vagus.events.nodes.scalar import to_int32

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TEMPORAL", "Temporal"]

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
