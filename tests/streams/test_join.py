"""join meets each event of a stream with a table's row, as it is at that moment."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Sensor, at, column, reading, rows, topic
from vagus.errors import DeclarationError, HubError


class Trip(vg.Event):
    driver: str
    bus: int | None


class Bus(vg.Event):
    number: int
    model: str


def test_an_event_gets_the_columns_of_its_row() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(sensors, Sensor(sensor="a", room="attic"))
        harness.send(readings, reading("a", 20, minutes=3))

        assert rows(harness, "out", "_key", "_time", "sensor", "celsius", "room") == [
            ("a", at(3), "a", 20, "attic")
        ]


def test_an_inner_join_leaves_out_events_without_a_row() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 20))

        assert harness.read("out").is_empty()


def test_a_left_join_keeps_them_with_nulls() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors, how="left").to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 20))

        assert rows(harness, "out", "celsius", "room") == [(20, None)]


def test_changes_of_the_table_give_no_results() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 20))
        harness.send(sensors, Sensor(sensor="a", room="attic"))

        assert harness.read("out").is_empty()


def test_within_a_batch_each_event_meets_the_row_of_its_moment() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors, how="left").to("out")
    with vg.testing.Harness(app) as harness:
        harness.put(readings, reading("a", 1))
        harness.put(sensors, Sensor(sensor="a", room="attic"))
        harness.put(readings, reading("a", 2))
        harness.put(sensors, Sensor(sensor="a", room="cellar"))
        harness.put(readings, reading("a", 3))
        harness.run()

        assert column(harness, "out", "room") == [None, "attic", "cellar"]


def test_a_deleted_row_is_not_met() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    readings.join(sensors, how="left").to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(sensors, Sensor(sensor="a", room="attic"))
        harness.delete(sensors, "a")
        harness.send(readings, reading("a", 1))

        assert column(harness, "out", "room") == [None]


def test_on_another_field_rows_are_found_whatever_their_partition() -> None:
    app = vg.App("bus-company")
    trips = app.topic("trip", Trip, key="driver", partitions=4)
    buses = app.table("bus", Bus, key="number", partitions=3)
    trips.join(buses, on="bus").to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(buses, [Bus(number=n, model=f"model {n}") for n in range(10)])
        harness.send(trips, [Trip(driver=f"d{n}", bus=n % 10) for n in range(40)])

        found = harness.read("out")
        assert found.height == 40
        assert (found["model"] == pl.select(pl.format("model {}", found["bus"])).to_series()).all()
        assert "number" in found.columns


def test_a_null_in_the_field_matches_nothing() -> None:
    app = vg.App("bus-company")
    trips, buses = app.topic("trip", Trip, key="driver"), app.table("bus", Bus, key="number")
    trips.join(buses, on="bus").to("inner")
    trips.join(buses, on="bus", how="left").to("left")
    with vg.testing.Harness(app) as harness:
        harness.send(buses, Bus(number=1, model="M1"))
        harness.send(trips, Trip(driver="ann", bus=None))

        assert harness.read("inner").is_empty()
        assert rows(harness, "left", "driver", "model") == [("ann", None)]


def test_columns_of_one_name_get_a_suffix() -> None:
    class Named(vg.Event):
        sensor: str
        celsius: float

    app = vg.App("weather")
    limits = app.table("limit", Named, key="sensor")
    joined = topic(app).join(limits, suffix="_limit")

    assert list(joined.columns) == ["sensor", "celsius", "at", "celsius_limit"]


def test_a_table_made_by_the_application_can_be_joined() -> None:
    app = vg.App("weather")
    readings = topic(app)
    counts = readings.group_by().agg(n=vg.count())
    topic(app, "question").join(counts).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("a", 2)])
        harness.send("question", reading("a", 0))

        assert rows(harness, "out", "sensor", "n") == [("a", 2)]


def test_topics_joined_by_key_need_the_same_number_of_partitions() -> None:
    app = vg.App("weather")
    readings = topic(app, partitions=2)
    readings.join(app.table("sensor", Sensor, key="sensor", partitions=3)).to("out")
    with (
        vg.testing.Harness(app) as harness,
        pytest.raises(HubError, match="reading has 2, sensor has 3"),
    ):
        harness.run()


def test_a_field_of_another_type_than_the_key_is_refused() -> None:
    app = vg.App("bus-company")
    trips, buses = app.topic("trip", Trip, key="driver"), app.table("bus", Bus, key="number")
    with pytest.raises(DeclarationError, match=r"expected a column of type Int64.*got String"):
        trips.join(buses)


def test_an_unknown_field_is_refused_with_the_nearest_name() -> None:
    app = vg.App("bus-company")
    trips, buses = app.topic("trip", Trip, key="driver"), app.table("bus", Bus, key="number")
    with pytest.raises(DeclarationError, match=r"no column 'bsu'.*did you mean 'bus'"):
        trips.join(buses, on="bsu")


def test_a_table_without_a_topic_cannot_be_joined_on_another_field() -> None:
    app = vg.App("weather")
    readings = topic(app)
    counts = readings.group_by().agg(n=vg.count())
    rooms = app.topic("visit", Sensor, key="sensor")
    with pytest.raises(DeclarationError, match=r"has no topic.*to_table"):
        rooms.join(counts, on="room")


def test_a_windowed_table_cannot_be_joined() -> None:
    app = vg.App("weather")
    readings = topic(app)
    counts = readings.window(vg.tumbling("1m")).agg(n=vg.count())
    with pytest.raises(DeclarationError, match="has windowed keys"):
        readings.join(counts)


def test_another_how_is_refused() -> None:
    app = vg.App("weather")
    readings, sensors = topic(app), app.table("sensor", Sensor, key="sensor")
    with pytest.raises(DeclarationError, match="expected how='inner' or how='left', got 'outer'"):
        readings.join(sensors, how="outer")  # type: ignore[arg-type]
