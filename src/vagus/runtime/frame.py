"""The frame: a batch of records on its way through a topology.

A frame is a Polars DataFrame with the columns of its events, and four more of the engine's. Their
names begin with an underscore, which the fields of an event can't.

| column | type | meaning |
|---|---|---|
| `_seq` | UInt32 | its place in the order of the batch; what is made of a record keeps it |
| `_key` | the topic's | the key, or null |
| `_time` | Datetime(ms, UTC) | event time |
| `_tombstone` | Boolean | the record is a deletion: it has a key and no event |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from numpy.typing import NDArray

SEQ = "_seq"
KEY = "_key"
TIME = "_time"
TOMBSTONE = "_tombstone"
SYSTEM = (SEQ, KEY, TIME, TOMBSTONE)

TIME_TYPE = pl.Datetime("ms", "UTC")


def frame_schema(columns: Mapping[str, pl.DataType], key: pl.DataType) -> pl.Schema:
    """The schema of a frame of events with these columns and this type of key."""
    system = {SEQ: pl.UInt32(), KEY: key, TIME: TIME_TYPE, TOMBSTONE: pl.Boolean()}
    return pl.Schema({**system, **columns})


def empty_frame(columns: Mapping[str, pl.DataType], key: pl.DataType) -> pl.DataFrame:
    """A frame without records."""
    return pl.DataFrame(schema=frame_schema(columns, key))


# Polars takes a fifth of a millisecond to evaluate any expression, which is most of what a batch of
# a few records costs. What follows does without, as do the places that every batch goes through.


def constant(name: str, value: Any, dtype: pl.DataType, count: int) -> pl.Series:
    """A column of one value."""
    return pl.Series(name, [value], dtype).new_from_index(0, count)


def milliseconds(times: pl.Series) -> NDArray[np.int64]:
    """A column of times as numbers; a null is far below zero."""
    return times.to_numpy().view(np.int64)


def value_columns(names: Iterable[str]) -> list[str]:
    """The names among `names` that are not the engine's own."""
    return [name for name in names if name not in SYSTEM]


def in_order(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Frames of one schema as one, in the order of the batch."""
    filled = [frame for frame in frames if frame.height]
    if not filled:
        return frames[0]
    if len(filled) == 1:
        return filled[0]
    return pl.concat(filled).sort(SEQ, maintain_order=True)
