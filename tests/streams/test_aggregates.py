"""What each aggregate computes, in one batch and over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg
from tests.streams.readings import at, column, reading, topic
from vagus.errors import DeclarationError

Values = list[float | None]


def _known(values: Values) -> list[float]:
    return [value for value in values if value is not None]


def _distinct(values: Values) -> int:
    return len(set(_known(values)))


AGGREGATES: dict[str, tuple[vg.Aggregate, Callable[[Values], Any]]] = {
    "count": (vg.count(), len),
    "count of a column": (vg.count("celsius"), lambda values: len(_known(values))),
    "sum": (vg.sum("celsius"), lambda values: sum(_known(values))),
    "mean": (
        vg.mean("celsius"),
        lambda values: sum(_known(values)) / len(_known(values)) if _known(values) else None,
    ),
    "min": (vg.min("celsius"), lambda values: min(_known(values), default=None)),
    "max": (vg.max("celsius"), lambda values: max(_known(values), default=None)),
    "first": (vg.first("celsius"), lambda values: (_known(values) or [None])[0]),
    "last": (vg.last("celsius"), lambda values: (_known(values) or [None])[-1]),
    "collect": (vg.collect("celsius"), list),
    "distinct_count": (vg.distinct_count("celsius"), _distinct),
    "fold": (
        vg.fold("celsius", lambda text, value: f"{text}{value},", initial="", dtype=pl.String),
        lambda values: "".join(f"{value}," for value in values),
    ),
}


@pytest.mark.parametrize("emit", ["update", "each"])
@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=8)
@given(
    st.lists(
        st.lists(st.none() | st.integers(-9, 9).map(float), min_size=1, max_size=5),
        min_size=1,
        max_size=3,
    )
)
def test_it_is_that_of_the_plain_values(name: str, emit: Any, batches: list[Values]) -> None:
    aggregate, plain = AGGREGATES[name]
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(result=aggregate, emit=emit).to("result")
    sofar: Values = []
    expected = []
    with vg.testing.Harness(app) as harness:
        for batch in batches:
            harness.send(readings, [reading("a", value) for value in batch])
            for value in batch:
                sofar.append(value)
                expected.append(plain(sofar))
            if emit == "update":
                del expected[-len(batch) : -1]

        assert column(harness, "result", "result") == expected


def test_they_take_expressions() -> None:
    app = vg.App("weather")
    readings = topic(app)
    warm = pl.col("celsius") > 20
    readings.group_by().agg(warm=vg.sum(warm), peak=vg.max(pl.col("celsius") * 2)).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 15), reading("a", 25), reading("a", 21)])

        assert harness.read("out").select("warm", "peak").row(0) == (2, 50)


def test_a_fold_sees_the_events_in_order_and_its_state_survives_a_restart() -> None:
    def rising(state: list[float], value: float) -> list[float]:
        return [*state, value] if not state or value > state[-1] else state

    app = vg.App("weather")
    readings = topic(app)
    records = vg.fold("celsius", rising, initial=[], dtype=pl.List(pl.Float64))
    readings.group_by().agg(records=records).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", value) for value in (3, 1, 5)])
        harness.restart()
        harness.send(readings, [reading("a", value) for value in (4, 9)])

        assert column(harness, "out", "records") == [[3, 5], [3, 5, 9]]


def test_an_event_for_which_a_fold_raises_becomes_a_dead_letter_and_leaves_the_state() -> None:
    def strict(state: float, value: float | None) -> float:
        if value is None:
            raise ValueError("nothing measured")
        return state + value

    app = vg.App("weather")
    readings = topic(app)
    total = vg.fold("celsius", strict, initial=0.0, dtype=pl.Float64)
    readings.group_by().agg(total=total).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("a", None), reading("a", 2)])

        assert column(harness, "out", "total") == [3]
        (letter,) = harness.dead_letters
        assert (letter.offset, letter.error) == (1, "ValueError: nothing measured")


def test_a_sum_of_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected a column of numbers for a sum"):
        topic(vg.App("weather")).group_by().agg(total=vg.sum("sensor"))


def test_a_mean_of_text_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected a column of numbers for a mean"):
        topic(vg.App("weather")).group_by().agg(total=vg.mean("sensor"))


def _strict(state: float, value: float | None) -> float:
    if value is None:
        raise ValueError("nothing measured")
    return state + value


@pytest.mark.parametrize("emit", ["update", "each"])
def test_an_event_for_which_a_fold_raises_counts_in_no_other_aggregate(emit: Any) -> None:
    app = vg.App("weather")
    readings = topic(app)
    total = vg.fold("celsius", _strict, initial=0.0, dtype=pl.Float64)
    readings.group_by().agg(n=vg.count(), total=total, emit=emit).to_table("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("a", None), reading("b", None)])

        assert harness.views["out"].get("a") == {"sensor": "a", "n": 1, "total": 1}
        assert harness.views["out"].get("b") is None
        assert harness.read("out").height == 1


@pytest.mark.parametrize("emit", ["update", "each", "final"])
def test_in_overlapping_windows_too_and_it_is_one_dead_letter(emit: Any) -> None:
    app = vg.App("weather")
    readings = topic(app)
    total = vg.fold("celsius", _strict, initial=0.0, dtype=pl.Float64)
    windows = readings.window(vg.hopping("10m", every="5m"))
    windows.agg(n=vg.count(), total=total, emit=emit).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, 7), reading("a", None, 100), reading("a", 2, 8)])
        harness.send(readings, reading("a", 1, 200))

        ended = harness.read("out").filter(pl.col("window_end") < at(30))
        newest = ended.unique("window_start", keep="last").sort("window_start")
        assert newest.select("n", "total").rows() == [(2, 3), (2, 3)]
        assert len(harness.dead_letters) == 1


def test_a_fold_is_tried_again_as_configured() -> None:
    calls = []

    def flaky(state: float, value: float) -> float:
        calls.append(value)
        if len(calls) < 3:
            raise ConnectionError("try again")
        return state + value

    app = vg.App("weather", retry=vg.Retry(times=2, wait_s=0.5))
    readings = topic(app)
    total = vg.fold("celsius", flaky, initial=0.0, dtype=pl.Float64)
    readings.group_by().agg(total=total).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        assert column(harness, "out", "total") == [1]
        assert calls == [1, 1, 1]
        assert harness.slept_s == [0.5, 1.0]


def test_a_fold_that_changes_its_initial_state_does_so_for_one_group_only() -> None:
    def append(state: list[float], value: float) -> list[float]:
        state.append(value)
        return state

    app = vg.App("weather")
    readings = topic(app)
    values = vg.fold("celsius", append, initial=[], dtype=pl.List(pl.Float64))
    readings.group_by().agg(values=values).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2), reading("a", 3)])

        assert column(harness, "out", "values") == [[2], [1, 3]]
