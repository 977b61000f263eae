"""What each aggregate computes, in one batch and over several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg
from tests.streams.readings import column, reading, topic
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
