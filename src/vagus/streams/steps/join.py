"""Joins of a stream with a table. Only the stream's records give results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from vagus.runtime.frame import KEY, SEQ, SYSTEM, TOMBSTONE
from vagus.runtime.store import FOUND

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store

How = Literal["inner", "left"]

_AT = "_at"
_ON = "_on"


@dataclass(frozen=True)
class Join:
    """How rows are put together.

    `on` is the stream's column to look up, `columns` the table's columns by their names in the
    result.
    """

    name: str
    on: pl.Expr
    how: How
    columns: dict[str, str]
    empty: pl.DataFrame

    def usable(self, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """The stream's records that can be joined, with `_on`; the others are counted.

        A record whose key or foreign key is null matches nothing: a left join passes it on.
        """
        kept = frame.with_columns(self.on.alias(_ON)).filter(~pl.col(TOMBSTONE))
        if self.how == "inner" and kept[_ON].null_count():
            kept = kept.filter(pl.col(_ON).is_not_null())
        batch.metrics.add("records_dropped", self.name, frame.height - kept.height)
        return kept

    def with_rows(self, frame: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Join with rows of a table, at most one for each key."""
        right = rows.select(
            pl.col(KEY).alias(_ON), *(pl.col(old).alias(new) for new, old in self.columns.items())
        )
        joined = frame.join(right, on=_ON, how=self.how, maintain_order="left")
        return joined.select(self.empty.columns)

    def with_changes(
        self, frame: pl.DataFrame, rows: pl.DataFrame, changes: pl.DataFrame
    ) -> pl.DataFrame:
        """Join each record with the row as it was when the record's turn came."""
        columns = [pl.col(old).alias(new) for new, old in self.columns.items()]
        before = rows.select(
            pl.col(KEY).alias(_ON),
            pl.lit(-1, pl.Int64).alias(_AT),
            pl.lit(False).alias("_gone"),
            *columns,
        )
        during = changes.select(
            pl.col(KEY).alias(_ON),
            pl.col(SEQ).cast(pl.Int64).alias(_AT),
            pl.col(TOMBSTONE).alias("_gone"),
            *columns,
        )
        joined = frame.with_columns(pl.col(SEQ).cast(pl.Int64).alias(_AT)).join_asof(
            pl.concat([before, during]).sort(_AT, maintain_order=True),
            on=_AT,
            by=_ON,
            strategy="backward",
            check_sortedness=False,
        )
        if self.how == "inner":
            joined = joined.filter(~pl.col("_gone"))  # null, where no row was found, is left out
        return joined.select(self.empty.columns)


class WithPartition:
    """Looks up the table's rows of this task's own partition."""

    def __init__(self, join: Join, store: Store) -> None:
        self._join, self._store = join, store

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame, changes = inputs
        frame = self._join.usable(frame, batch)
        if not frame.height:
            return self._join.empty
        rows = rows_for(frame[_ON], self._store)
        changes = changes.filter(pl.col(KEY).is_not_null())
        if changes.height:
            return self._join.with_changes(frame, rows, changes)
        return self._join.with_rows(frame, rows)


class WithBroadcast:
    """Looks up rows of a table that every worker holds in full."""

    def __init__(self, join: Join, table: str) -> None:
        self._join, self._table = join, table

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = self._join.usable(inputs[0], batch)
        if not frame.height:
            return self._join.empty
        return self._join.with_rows(frame, rows_for(frame[_ON], batch.broadcast[self._table]))


def rows_for(keys: pl.Series, store: Store) -> pl.DataFrame:
    """The rows that these keys may need: of a small table all, of a large one theirs."""
    if len(store) <= len(keys):
        return store.rows()
    wanted = keys.unique().drop_nulls().alias(KEY).to_frame()
    return store.lookup(wanted).filter(FOUND)


def previous(frame: pl.DataFrame, store: Store) -> pl.DataFrame:
    """For each change of a table, the row that it replaces, with `_found`.

    That is the row before it in the batch, or else the one in the store.
    """
    rows = frame.select(*store.place, pl.int_range(pl.len()).alias(_AT))
    before = rows.select(pl.col(_AT).shift(1).over(store.place)).to_series()
    stored = store.lookup(frame)
    within = before.is_not_null()
    if not within.any():
        return stored
    in_batch = frame.select(pl.all().gather(before))
    found = pl.when(within).then(~in_batch[TOMBSTONE]).otherwise(stored[FOUND])
    columns = [
        pl.when(within).then(in_batch[name]).otherwise(stored[name]).alias(name)
        for name in store.schema.names()
    ]
    return stored.select(*columns, found.alias(FOUND))


def nulls_where(gone: pl.Expr, columns: Sequence[str]) -> list[pl.Expr]:
    """These columns with nulls where an expression is true."""
    return [pl.when(~gone).then(pl.col(name)).alias(name) for name in columns]


def values_of(frame: pl.DataFrame, *, besides: Sequence[str] = ()) -> list[str]:
    """The value columns of a frame, but for `besides`."""
    return [name for name in frame.columns if name not in SYSTEM and name not in besides]
