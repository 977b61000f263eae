"""select, with_columns, rename and drop: columns as Polars makes them."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import column, reading, rows, topic
from vagus.errors import DeclarationError


def test_select_keeps_and_computes_columns() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.select("sensor", fahrenheit=pl.col("celsius") * 1.8 + 32).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 100))

        assert rows(harness, "out", "_key", "sensor", "fahrenheit") == [("a", "a", 212)]


def test_select_takes_all_columns() -> None:
    selected = topic(vg.App("weather")).select(pl.all())

    assert list(selected.columns) == ["sensor", "celsius", "at"]


def test_select_hands_the_key_on() -> None:
    readings = topic(vg.App("weather"))

    assert readings.select("sensor", "celsius").key == "sensor"
    assert readings.select("celsius").key is None


def test_select_refuses_an_unknown_column_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no column 'sensr'.*did you mean 'sensor'"):
        topic(vg.App("weather")).select("sensr")


def test_with_columns_adds_and_replaces() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.with_columns(pl.col("celsius").round(), warm=pl.col("celsius") > 20).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 20.6))

        assert rows(harness, "out", "sensor", "celsius", "warm") == [("a", 21, True)]


def test_with_columns_takes_constants() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.with_columns(unit=pl.lit("C")).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])

        assert column(harness, "out", "unit") == ["C", "C"]


def test_with_columns_leaves_deletions_deletions() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.with_columns(unit=pl.lit("C")).to("out")
    with vg.testing.Harness(app) as harness:
        harness.delete(readings, "a")

        assert rows(harness, "out", "_key", "_tombstone") == [("a", True)]


def test_a_column_like_the_engines_own_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"'_warm' begins with an underscore.*'warm'"):
        topic(vg.App("weather")).with_columns(_warm=pl.col("celsius") > 20)


def test_replacing_the_keys_column_leaves_the_key() -> None:
    app = vg.App("weather")
    readings = topic(app)
    renamed = readings.with_columns(sensor=pl.col("sensor").str.to_uppercase())
    renamed.to("out")

    assert renamed.key is None
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        assert rows(harness, "out", "_key", "sensor") == [("a", "A")]


def test_rename_gives_columns_other_names() -> None:
    app = vg.App("weather")
    readings = topic(app)
    renamed = readings.rename({"sensor": "device", "celsius": "degrees"})
    renamed.to("out")

    assert renamed.key == "device"
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        assert rows(harness, "out", "_key", "device", "degrees") == [("a", "a", 1)]


def test_rename_refuses_an_unknown_column_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no column 'celcius'.*'celsius'"):
        topic(vg.App("weather")).rename({"celcius": "degrees"})


def test_drop_leaves_columns_out() -> None:
    app = vg.App("weather")
    readings = topic(app)
    dropped = readings.drop("at", "sensor")
    dropped.to("out")

    assert dropped.columns == {"celsius": pl.Float64()}
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        assert rows(harness, "out", "_key", "celsius") == [("a", 1)]


def test_drop_refuses_an_unknown_column_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no column 'celcius'.*'celsius'"):
        topic(vg.App("weather")).drop("celcius")


def test_an_expression_over_all_columns_leaves_the_engines_own_alone() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.select(pl.all()).with_columns(pl.all().cast(pl.String).str.slice(0, 1)).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("roof", 21), reading("door", 35)])

        assert rows(harness, "out", "_key", "sensor", "celsius") == [
            ("roof", "r", "2"),
            ("door", "d", "3"),
        ]
