"""Steps on tables: each record is the new row of its key, or its deletion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from vagus.runtime.frame import KEY, SEQ, SYSTEM, TOMBSTONE
from vagus.runtime.store import FOUND
from vagus.runtime.topic import WINDOW_START
from vagus.streams.aggregates import OLD
from vagus.streams.steps.join import nulls_where, previous, values_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.runtime.topology import Process
    from vagus.streams.aggregates import Aggregate


def rows(name: str) -> Process:
    """A topic's records as a table's: those without a key are dropped and counted."""

    def process(inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = inputs[0]
        if frame[KEY].null_count():
            kept = frame.filter(pl.col(KEY).is_not_null())
            batch.metrics.add("records_dropped", name, frame.height - kept.height)
            return kept
        return frame

    return process


def keep(store: Store) -> Process:
    """Keep the table's rows in a store, and give them on."""

    def process(inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        store.stage(inputs[0])
        return inputs[0]

    return process


class Filter:
    """Rows that fail become deletions.

    Where the table is kept in a store, a deletion is left out if the row was not there before.
    """

    def __init__(self, name: str, predicate: pl.Expr, empty: pl.DataFrame, store: Store | None):
        self._name, self._predicate, self._empty, self._store = name, predicate, empty, store

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = batch.guard(self._name, self._judged, inputs[0], self._empty)
        if self._store is None:
            return frame
        before = previous(inputs[0], self._store)
        passed = before.select((self._predicate & pl.col(FOUND)).fill_null(value=False))
        was_there = pl.DataFrame({SEQ: inputs[0][SEQ], "_was": passed.to_series()})
        judged = frame.join(was_there, on=SEQ, how="left", maintain_order="left")
        return judged.filter(~pl.col(TOMBSTONE) | pl.col("_was")).drop("_was")

    def _judged(self, frame: pl.DataFrame) -> pl.DataFrame:
        gone = pl.col(TOMBSTONE) | ~self._predicate.fill_null(value=False)
        judged = frame.with_columns(gone.alias(TOMBSTONE))
        values = values_of(frame, besides=[WINDOW_START])
        return judged.with_columns(nulls_where(pl.col(TOMBSTONE), values))


class Regroup:
    """Turns changes of rows into changes of groups.

    A row that stays in its group gives one record with its new and its old values; one that
    moves gives two, for the old group first.
    """

    def __init__(
        self,
        name: str,
        by: pl.Expr,
        aggregates: Mapping[str, Aggregate],
        empty: pl.DataFrame,
        store: Store,
    ) -> None:
        self._name, self._empty, self._store = name, empty, store
        self._inputs = [by.alias(KEY)] + [agg.input.alias(n) for n, agg in aggregates.items()]
        self._values = list(aggregates)

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = batch.guard(self._name, self._tried, inputs[0], inputs[0].clear())
        self._store.stage(frame)
        old = previous(frame, self._store)
        new_values = self._evaluated(frame, ~frame[TOMBSTONE])
        old_values = self._evaluated(old, old[FOUND])
        system = frame.select(SYSTEM).drop(KEY).with_columns(pl.lit(False).alias(TOMBSTONE))
        new_key, old_key = new_values[KEY], old_values[KEY]
        stays = (new_key == old_key).fill_null(value=False)
        both = system.hstack(new_values).hstack(_suffixed(old_values, self._values))
        left = system.hstack([old_key]).hstack(_suffixed(old_values, self._values))
        came = system.hstack(new_values)
        parts = [
            left.filter(~stays & old_key.is_not_null()),
            both.filter(stays),
            came.filter(~stays & new_key.is_not_null()),
        ]
        filled = [pl.concat([self._empty, part], how="diagonal") for part in parts if part.height]
        if not filled:
            return self._empty
        return pl.concat(filled).sort(SEQ, maintain_order=True).select(self._empty.columns)

    def _tried(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame, if all of its rows can be evaluated."""
        self._evaluated(frame, ~frame[TOMBSTONE])
        return frame

    def _evaluated(self, rows: pl.DataFrame, there: pl.Series) -> pl.DataFrame:
        """Group and inputs of the aggregates; null where there is no row."""
        found = rows.select(self._inputs)
        if found.height != rows.height:  # all were literals
            found = rows.select(pl.lit(0)).with_columns(self._inputs).select(found.columns)
        return found.select(pl.when(there).then(pl.all()).name.keep())


def _suffixed(values: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    return values.select(pl.col(name).alias(name + OLD) for name in names)
