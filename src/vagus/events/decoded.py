"""What reading a batch of values gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["BadValue", "Decoded"]


class BadValue(NamedTuple):
    """A value that can't be read: its row in the batch, why, and its bytes.

    >>> BadValue(3, "expected Avro, got 2 bytes", b"??").row
    3
    """

    row: int
    error: str
    value: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of values, read.

    `frame` has a row for each value that could be read, in order: `_row` is its place in the
    batch, `_type` the name of its type if the topic has several, then the fields. `tombstones`
    are the rows of null values, `errors` the values that could not be read.
    """

    frame: pl.DataFrame
    tombstones: NDArray[np.uint32]
    errors: list[BadValue]
