"""rekey gives events another key; a later step finds all events of that key in one place."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import column, reading, rows, topic
from vagus.errors import DeclarationError


def test_a_column_becomes_the_key() -> None:
    class Visit(vg.Event):
        user: str
        page: str

    app = vg.App("web")
    visits = app.topic("visit", Visit, key="user")
    visits.rekey("page").to("by-page")
    with vg.testing.Harness(app) as harness:
        harness.send(visits, Visit(user="ann", page="home"))

        assert rows(harness, "by-page", "_key", "user") == [("home", "ann")]


def test_an_expression_becomes_the_key() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.rekey(pl.col("celsius").cast(pl.Int64)).to("by-degree")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 21.5))

        assert column(harness, "by-degree", "_key") == [21]


def test_a_key_that_is_no_text_number_or_bytes_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected a key of text, whole numbers or bytes"):
        topic(vg.App("weather")).rekey("celsius")


def test_all_events_of_a_key_come_together_whatever_partition_they_were_in() -> None:
    app = vg.App("weather")
    readings = topic(app, partitions=4)
    readings.group_by(pl.col("celsius").cast(pl.Int64).alias("degrees")).agg(n=vg.count()).to_table(
        "degrees"
    )
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(str(sensor), sensor % 3) for sensor in range(60)])

        assert [harness.views["degrees"].get(degrees)["n"] for degrees in range(3)] == [20, 20, 20]


def test_events_whose_new_key_is_null_pass_but_are_in_no_group() -> None:
    app = vg.App("weather")
    readings = topic(app)
    rekeyed = readings.rekey(pl.col("celsius").cast(pl.Int64).alias("degrees"))
    rekeyed.to("all")
    rekeyed.group_by().agg(n=vg.count()).to("counted")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", None), reading("b", 1)])

        assert column(harness, "all", "_key") == [None, 1]
        assert column(harness, "counted", "_key") == [1]


def test_grouping_by_the_key_that_it_has_needs_no_repartition() -> None:
    app = vg.App("weather")
    topic(app).filter(pl.col("celsius") > 0).group_by("sensor").agg(n=vg.count())

    assert not any("repartition" in name for name in app.topology.topics())


def test_the_same_rekeyed_stream_can_be_used_twice() -> None:
    app = vg.App("weather")
    readings = topic(app)
    floors = app.table("floor", Floor, key="degrees")
    rekeyed = readings.with_columns(degrees=pl.col("celsius").cast(pl.Int64)).rekey("degrees")
    rekeyed.join(floors).to("inner")
    rekeyed.join(floors, how="left").to("left")
    with vg.testing.Harness(app) as harness:
        harness.send(floors, Floor(degrees=1, name="first"))
        harness.send(readings, [reading("a", 1), reading("b", 2)])

        assert column(harness, "inner", "name") == ["first"]
        assert column(harness, "left", "name") == ["first", None]


class Floor(vg.Event):
    degrees: int
    name: str
