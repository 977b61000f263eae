"""filter keeps the events for which an expression is true."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Reading, at, column, reading, rows, topic
from vagus.errors import DeclarationError


def test_events_for_which_the_expression_is_true_are_kept_in_order() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.filter(pl.col("celsius") > 20).to("warm")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 21), reading("b", 19), reading("a", 22)])

        assert column(harness, "warm", "celsius") == [21, 22]


def test_an_event_for_which_it_is_null_is_not_kept() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.filter(pl.col("celsius") > 20).to("warm")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", None))

        assert harness.read("warm").is_empty()


def test_key_and_time_stay() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.filter(pl.col("celsius") > 20).to("warm")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 21, minutes=5))

        assert rows(harness, "warm", "_key", "_time") == [("a", at(5))]


def test_a_deletion_passes_where_nulls_do() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.filter(pl.col("celsius").is_null()).to("unknown")
    readings.filter(pl.col("celsius") > 20).to("warm")
    with vg.testing.Harness(app) as harness:
        harness.delete(readings, "a")

        assert rows(harness, "unknown", "_key", "_tombstone") == [("a", True)]
        assert harness.read("warm").is_empty()


def test_the_event_type_stays() -> None:
    warm = topic(vg.App("weather")).filter(pl.col("celsius") > 20)

    assert warm.event_types == (Reading,)


def test_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no column 'celsus'.*reading.*'celsius'"):
        topic(vg.App("weather")).filter(pl.col("celsus") > 20)


def test_an_expression_that_is_not_true_or_false_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"reading\.filter"):
        topic(vg.App("weather")).filter(pl.col("celsius") + 1)
