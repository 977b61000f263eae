"""One of a set of symbols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.events.nodes.base import BadRows, Names, Node, nulls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Enumeration"]


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
