"""Aggregates by key, with and without windows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from vagus.runtime.frame import KEY, SEQ, SYSTEM, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.store import FOUND
from vagus.runtime.topic import WINDOW_START
from vagus.streams.aggregates import OLD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.streams.aggregates import Aggregate
    from vagus.streams.windows import Window

Emit = Literal["update", "each", "final"]

WINDOW_END = "window_end"

_RUNS = 16  # of records of one window in a batch, up to which each is grouped by itself


@dataclass(frozen=True)
class Aggregation:
    """What is computed: aggregates by name, and how results look."""

    name: str
    by: str
    aggregates: Mapping[str, Aggregate]
    emit: Emit
    empty: pl.DataFrame  # of the results
    replacing: bool = False  # rows hold a new value and the old one that it replaces

    def inputs(self, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """The records, with the columns that the aggregates work on."""
        if self.replacing:
            return frame
        exprs = [agg.input.alias(name) for name, agg in self.aggregates.items()]

        def evaluate(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select(*SYSTEM, *exprs)

        return batch.guard(self.name, evaluate, frame, evaluate(frame.clear()))

    def partial(self, rows: pl.DataFrame, place: list[str]) -> pl.DataFrame:
        """One row of accumulators for each group, in order of the groups' first records."""
        exprs = [
            expr
            for name, agg in self.aggregates.items()
            for expr in ((agg.difference(name) or []) if self.replacing else agg.partial(name))
        ]
        return rows.group_by(place, maintain_order=True).agg(
            pl.col(TIME).max(), pl.col(SEQ).max(), *exprs
        )

    def merge(self, partial: pl.DataFrame, old: pl.DataFrame, fail: Failures) -> pl.DataFrame:
        """The accumulators of the batch joined with those that were there (same rows)."""
        known = old.select(pl.col(FOUND), pl.exclude(KEY, WINDOW_START, FOUND).name.suffix(OLD))
        frame = partial.hstack(known)
        merged = [
            made for name, agg in self.aggregates.items() for made in agg.merge(name, frame, fail)
        ]
        frame = frame.with_columns(pl.max_horizontal(TIME, TIME + OLD).alias(TIME), *merged)
        return frame.drop(known.columns).with_columns(pl.lit(False).alias(TOMBSTONE))

    def results(self, state: pl.DataFrame, size_ms: int | None = None) -> pl.DataFrame:
        """The results that these rows of state stand for; `state` has `_seq`."""
        columns = [agg.result(name).alias(name) for name, agg in self.aggregates.items()]
        if size_ms is not None:
            end = pl.col(WINDOW_START) + pl.duration(milliseconds=size_ms)
            columns.append(end.cast(TIME_TYPE).alias(WINDOW_END))
        return state.with_columns(
            pl.col(KEY).alias(self.by), pl.lit(False).alias(TOMBSTONE), *columns
        ).select(self.empty.columns)

    def rounds(
        self, rows: pl.DataFrame, place: list[str], store: Store, fail: Failures
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Take each record by itself: the state after each, and the newest state of each group.

        Records are numbered within their group; a round takes one of each group at the most.
        """
        rows = rows.with_columns(pl.int_range(pl.len()).over(place).alias("_round"))
        newest: pl.DataFrame | None = None
        after: list[pl.DataFrame] = []
        for part in rows.partition_by("_round", include_key=False, maintain_order=True):
            partial = self.partial(part, place)
            if newest is None:
                old = store.lookup(partial)
            else:
                old = partial.select(place).join(
                    newest.drop(SEQ, TOMBSTONE).with_columns(pl.lit(True).alias(FOUND)),
                    on=place,
                    how="left",
                    maintain_order="left",
                )
            merged = self.merge(partial, old, fail)
            after.append(merged)
            newest = (
                merged
                if newest is None
                else pl.concat([newest, merged]).unique(place, keep="last", maintain_order=True)
            )
        assert newest is not None
        order = [SEQ, WINDOW_START] if WINDOW_START in place else [SEQ]
        return pl.concat(after).sort(order, maintain_order=True), newest


class Failures:
    """The records of a batch for which a fold raised, retries included.

    Such a record is to count in no aggregate of the step, so what was computed with it is computed
    again without it.
    """

    def __init__(self, step: str, batch: Batch) -> None:
        self._step, self._batch = step, batch
        self._found: set[int] = set()

    def __call__(
        self, seq: int, error: BaseException, again: Callable[[], Any], otherwise: Any
    ) -> Any:
        result, last, tries = self._batch.again(again, error)
        if last is None:
            return result
        if seq not in self._found:  # a record can be in several windows
            self._batch.fail(seq, self._step, last, tries=tries)
        self._found.add(seq)
        return otherwise

    def __len__(self) -> int:
        return len(self._found)

    def without(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The records for which nothing was raised."""
        return frame.filter(~pl.col(SEQ).is_in(list(self._found)))


def keyed(frame: pl.DataFrame, name: str, batch: Batch, *, drop_tombstones: bool) -> pl.DataFrame:
    """The records that can be aggregated: those with a key. The others are counted."""
    kept = frame
    if frame[KEY].null_count():
        kept = kept.filter(pl.col(KEY).is_not_null())
    if drop_tombstones and kept[TOMBSTONE].any():
        kept = kept.filter(~pl.col(TOMBSTONE))
    batch.metrics.add("records_dropped", name, frame.height - kept.height)
    return kept


class Grouped:
    """Aggregates of all events of a key."""

    def __init__(self, aggregation: Aggregation, store: Store) -> None:
        self._of, self._store = aggregation, store

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = keyed(inputs[0], self._of.name, batch, drop_tombstones=True)
        if not frame.height:
            return self._of.empty
        rows = self._of.inputs(frame, batch)
        failures = Failures(self._of.name, batch)
        while rows.height:
            failed = len(failures)
            after, newest = self._aggregate(rows, failures)
            if len(failures) == failed:
                self._store.stage(newest)
                return self._of.results(after)
            rows = failures.without(rows)
        return self._of.empty

    def _aggregate(
        self, rows: pl.DataFrame, failures: Failures
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        if self._of.emit == "each":
            return self._of.rounds(rows, [KEY], self._store, failures)
        partial = self._of.partial(rows, [KEY])
        newest = self._of.merge(partial, self._store.lookup(partial), failures)
        return newest.sort(SEQ), newest


class Windowed:
    """Aggregates of the events of a key in windows of event time.

    Stream time is the largest time of any record with a key that came here, whatever its key. It
    is not stored: the newest window's row carries it, and that row is there until a later one is.
    """

    def __init__(self, aggregation: Aggregation, window: Window, store: Store) -> None:
        self._of, self._window, self._store = aggregation, window, store
        self._stream_time = store.newest_ms

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        if batch.idle_s and not inputs[0].height:
            return self._close_idle()
        frame = keyed(inputs[0], self._of.name, batch, drop_tombstones=False)
        if not frame.height:
            return self._of.empty
        inputs_of = self._of.inputs(frame, batch)
        if inputs_of.height != frame.height:
            frame = frame.filter(pl.col(SEQ).is_in(inputs_of[SEQ].implode()))
        failures = Failures(self._of.name, batch)
        while frame.height:
            failed = len(failures)
            times = frame[TIME].to_physical().to_numpy()
            clock = np.maximum(np.maximum.accumulate(times), self._stream_time)
            rows, late = self._rows(frame, inputs_of, clock)
            after, newest = self._aggregate(rows, failures)
            if len(failures) == failed:
                self._note_late(frame, late, batch)
                return self._finish(after, newest, clock, frame[SEQ].to_numpy())
            frame, inputs_of = failures.without(frame), failures.without(inputs_of)
        return self._of.empty

    def _finish(
        self,
        after: pl.DataFrame,
        newest: pl.DataFrame | None,
        clock: NDArray[np.int64],
        seqs: NDArray[np.uint32],
    ) -> pl.DataFrame:
        """Move stream time on, write the state, and give the results."""
        self._stream_time = int(clock[-1])
        closed, finals = self._close(newest, clock, seqs)
        if newest is not None:
            self._store.stage(newest)
        self._store.stage(closed)
        return finals if self._of.emit == "final" else after

    def _aggregate(
        self, rows: pl.DataFrame, failures: Failures
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        if not rows.height:
            return self._of.empty, None
        place = [KEY, WINDOW_START]
        if self._of.emit == "each":
            after, newest = self._of.rounds(rows, place, self._store, failures)
        else:
            partial = self._partial(rows)
            newest = self._of.merge(partial, self._store.lookup(partial), failures)
            if self._of.emit == "final":
                return self._of.empty, newest
            after = newest.sort(SEQ, WINDOW_START)
        return self._of.results(after, self._window.size_ms), newest

    def _partial(self, rows: pl.DataFrame) -> pl.DataFrame:
        """One row of accumulators for each key and window, by window.

        Records mostly come window by window; grouping each run by key alone then takes half as
        long as grouping all by key and window.
        """
        starts = rows[WINDOW_START].to_physical().to_numpy()
        steps = np.diff(starts)
        bounds = [0, *(np.flatnonzero(steps) + 1).tolist(), rows.height]
        if len(bounds) > _RUNS or (steps < 0).any():
            groups = self._of.partial(rows, [KEY, WINDOW_START])
            return groups.sort(WINDOW_START, maintain_order=True)
        parts = []
        for begin, end in pairwise(bounds):
            run = self._of.partial(rows[begin:end], [KEY])
            start = pl.lit(rows[WINDOW_START][begin], TIME_TYPE).alias(WINDOW_START)
            parts.append(run.with_columns(start))
        return pl.concat(parts)

    def _rows(
        self, frame: pl.DataFrame, rows: pl.DataFrame, clock: NDArray[np.int64]
    ) -> tuple[pl.DataFrame, NDArray[np.int64]]:
        """A row for each record and each of its windows that is still open; and what is late.

        That is the places in `frame` of late records, once for each window that has closed.
        """
        window = self._window
        at, starts = window.of(frame[TIME].to_physical().to_numpy())
        closed = starts + window.size_ms <= clock[at] - window.grace_ms
        late = at[closed]
        if len(late):
            at, starts = at[~closed], starts[~closed]
        if len(late) or window.advance_ms != window.size_ms:
            rows = rows[at]
        return rows.with_columns(pl.Series(WINDOW_START, starts).cast(TIME_TYPE)), late

    def _note_late(self, frame: pl.DataFrame, late: NDArray[np.int64], batch: Batch) -> None:
        if len(late):
            batch.metrics.add("records_late", self._of.name, len(late))
            batch.side[late_name(self._of.name)] = frame[np.unique(late)]

    def _close(
        self, newest: pl.DataFrame | None, clock: NDArray[np.int64], seqs: NDArray[np.uint32]
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Deletions of the windows that have closed, and their final results."""
        window = self._window
        limit = self._stream_time - window.grace_ms - window.size_ms
        known = self._store.until(limit)
        if newest is not None:
            ending = newest.filter(pl.col(WINDOW_START).to_physical() <= limit)
            known = pl.concat([known, ending.select(known.columns)])
        if not known.height:
            return known.with_columns(pl.lit(False).alias(TOMBSTONE)), self._of.empty
        known = known.unique([KEY, WINDOW_START], keep="last", maintain_order=True)
        gone = known.with_columns(
            pl.lit(self._stream_time).cast(TIME_TYPE).alias(TIME), pl.lit(True).alias(TOMBSTONE)
        )
        if self._of.emit != "final":
            return gone, self._of.empty
        closes = pl.col(WINDOW_START).to_physical() + (window.size_ms + window.grace_ms)
        # A row whose time lies beyond its window was already given out when the stream was idle.
        known = known.filter(pl.col(TIME).to_physical() < closes)
        ends = known.select(closes).to_series().to_numpy()
        trigger = seqs[np.minimum(np.searchsorted(clock, ends), len(clock) - 1)]
        known = known.with_columns(pl.Series(SEQ, trigger, dtype=pl.UInt32))
        return gone, self._of.results(known.sort(SEQ, WINDOW_START, KEY), window.size_ms)

    def _close_idle(self) -> pl.DataFrame:
        """Close all windows, since nothing comes any more; late records stay late."""
        rows = self._store.rows()
        if self._window.idle_ms is None or not rows.height:
            return self._of.empty
        window = self._window
        closes = pl.col(WINDOW_START).to_physical() + (window.size_ms + window.grace_ms)
        still_open = rows.filter(pl.col(TIME).to_physical() < closes)
        if not still_open.height:
            return self._of.empty
        last = int(rows[WINDOW_START].to_physical().max())  # type: ignore[arg-type]
        self._stream_time = last + window.size_ms + window.grace_ms
        moved = rows.with_columns(
            pl.lit(self._stream_time).cast(TIME_TYPE).alias(TIME),
            (pl.col(WINDOW_START).to_physical() != last).alias(TOMBSTONE),
        )
        self._store.stage(moved)
        if self._of.emit != "final":
            return self._of.empty
        finals = still_open.with_columns(pl.lit(0, pl.UInt32).alias(SEQ))
        return self._of.results(finals.sort(WINDOW_START, KEY), window.size_ms)


class Late:
    """Gives on the records that were late for a window of the step before."""

    def __init__(self, name: str, empty: pl.DataFrame) -> None:
        self._name, self._empty = name, empty

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        late = batch.side.pop(self._name, None)
        return self._empty if late is None else late.select(self._empty.columns)


def late_name(step: str) -> str:
    """The name of the step that gives on what was late for `step`."""
    return f"{step}-late"
