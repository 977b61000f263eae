"""Windows against a slow, obvious model: any window, grace, batching, and restarts in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg

TIME = pl.Datetime("ms", "UTC")

Record = tuple[str | None, int, int]  # key, time, value
Result = tuple[str, int, int, list[int], int]  # key, start, end, values, timestamp


class Number(vg.Event):
    v: int


@dataclass
class Model:
    """Takes one record after another."""

    size: int
    every: int
    grace: int
    clock: int = -1
    late: int = 0
    unkeyed: int = 0
    open: dict[tuple[int, str], tuple[list[int], int]] = field(default_factory=dict)
    each: list[Result] = field(default_factory=list)
    final: list[Result] = field(default_factory=list)
    newest: dict[tuple[str, int], Result] = field(default_factory=dict)

    def take(self, key: str | None, time: int, value: int) -> None:
        if key is None:
            self.unkeyed += 1
            return
        self.clock = max(self.clock, time)
        for start in range(0, time + 1, self.every):
            if not start <= time < start + self.size:
                continue
            if start + self.size <= self.clock - self.grace:
                self.late += 1
                continue
            values, newest = self.open.get((start, key), ([], -1))
            self.open[start, key] = ([*values, value], max(newest, time))
            result = self._result(start, key)
            self.each.append(result)
            self.newest[key, start] = result
        for start, key in sorted(self.open):
            if start + self.size <= self.clock - self.grace:
                self.final.append(self._result(start, key))
                del self.open[start, key]

    def _result(self, start: int, key: str) -> Result:
        values, newest = self.open[start, key]
        return (key, start, start + self.size, list(values), newest)


def _frame(records: list[Record]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "_key": pl.Series([key for key, _, _ in records], dtype=pl.String),
            "_time": pl.Series([time for _, time, _ in records], dtype=pl.Int64).cast(TIME),
            "v": pl.Series([value for _, _, value in records], dtype=pl.Int64),
        }
    )


def _results(harness: vg.testing.Harness, topic: str) -> list[Result]:
    rows = harness.read(topic).with_columns(
        pl.col("_time", "window_start", "window_end").cast(TIME).to_physical()
    )
    columns = ["_key", "window_start", "window_end", "values", "_time"]
    return [tuple(row) for row in rows.select(columns).iter_rows()]  # type: ignore[misc]


@st.composite
def _windows(draw: st.DrawFn) -> tuple[int, int, int]:
    size = draw(st.integers(1, 12))
    every = draw(st.just(size) | st.integers(1, size))
    return size, every, draw(st.integers(0, 10))


def _walk(steps: list[tuple[str | None, int, int]]) -> list[Record]:
    """Records whose time moves on by steps, now and then back."""
    now, records = 5, []
    for key, step, value in steps:
        now = max(0, now + step)
        records.append((key, now, value))
    return records


_records = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(-8, 12), st.integers(0, 9)),
    min_size=1,
    max_size=30,
).map(_walk)


@settings(max_examples=40)
@given(_windows(), _records, st.data())
def test_windows_are_those_of_the_model(
    window: tuple[int, int, int], records: list[Record], data: st.DataObject
) -> None:
    size, every, grace = window
    model = Model(size, every, grace)
    for record in records:
        model.take(*record)
    app = vg.App("windows")
    numbers = app.topic("number", Number)
    hopping = vg.hopping(f"{size}ms", every=f"{every}ms", grace=f"{grace}ms")
    for emit in ("each", "update", "final"):
        grouping = numbers.window(hopping)
        table: Any = grouping.agg(values=vg.collect("v"), emit=emit, name=emit)
        table.to_table(f"{emit}-table")

    with vg.testing.Harness(app) as harness:
        rest = records
        while rest:
            count = data.draw(st.integers(1, len(rest)), label="records in the batch")
            harness.put(numbers, _frame(rest[:count]))
            harness.run()
            rest = rest[count:]
            if data.draw(st.booleans(), label="restart"):
                harness.restart()

        assert _results(harness, "each-table") == model.each
        assert _results(harness, "final-table") == model.final
        updates = _results(harness, "update-table")
        assert {(key, start): result for result in updates for key, start in [result[:2]]} == (
            model.newest
        )
        for emit in ("each", "update", "final"):
            assert harness.metrics.count("records_late", emit) == model.late
            assert harness.metrics.count("records_dropped", emit) == model.unkeyed
