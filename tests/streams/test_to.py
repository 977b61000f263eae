"""to writes a stream to a topic."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Reading, at, column, reading, rows, topic
from vagus.errors import DeclarationError


class Warm(vg.Event):
    sensor: str
    celsius: float
    note: str | None = None


def test_a_topic_can_be_named() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.to("copy")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1, minutes=3))

        assert rows(harness, "copy", "_key", "_time", "celsius") == [("a", at(3), 1)]


def test_it_is_created_as_asked() -> None:
    app = vg.App("weather")
    topic(app).to("copy", partitions=3, retention="1d", compact=True)
    with vg.testing.Harness(app) as harness:
        harness.run()

        config = harness.hub.describe_topic("copy").config
        assert (config.partitions, config.retention_s, config.cleanup) == (3, 86_400, "compact")


def test_an_event_goes_to_the_partition_of_its_key() -> None:
    app = vg.App("weather")
    readings = topic(app, partitions=5)
    readings.to("copy", partitions=5)
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(str(n), n) for n in range(30)])

        sent = harness.client.read(readings, offsets=True)
        copied = harness.client.read("copy", offsets=True)
        places = ["_partition", "sensor"]
        assert sent.select(places).rows() == copied.select(places).rows()
        assert copied["_partition"].n_unique() > 1


def test_a_declared_topic_gets_its_own_columns_and_null_for_those_that_are_missing() -> None:
    app = vg.App("weather")
    readings = topic(app)
    warm = app.topic("warm", Warm, key="sensor")
    readings.select("sensor", pl.col("celsius").fill_null(0)).to(warm)
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 30))

        assert rows(harness, "warm", "_key", "sensor", "celsius", "note") == [("a", "a", 30, None)]


def test_a_declared_topic_gives_events_its_key() -> None:
    class ByRoom(vg.Event):
        room: str

    app = vg.App("weather")
    readings = topic(app)
    by_room = app.topic("by-room", ByRoom, key="room")
    readings.select(room=pl.col("sensor") + "-room").to(by_room)
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 30))

        assert rows(harness, "by-room", "_key", "room") == [("a-room", "a-room")]


def test_what_was_written_can_be_read_on_in_the_same_application() -> None:
    app = vg.App("weather")
    readings = topic(app)
    warm = app.topic("warm", Reading, key="sensor", time="at")
    readings.filter(pl.col("celsius") > 20).to(warm)
    warm.group_by().agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 30), reading("a", 3), reading("a", 25)])

        assert column(harness, "count", "n")[-1] == 2


def test_a_required_column_that_is_missing_is_refused() -> None:
    app = vg.App("weather")
    warm = app.topic("warm", Warm, key="sensor")
    with pytest.raises(DeclarationError, match="column 'celsius' of Warm is missing"):
        topic(app).drop("celsius").to(warm)


def test_a_column_of_another_type_is_refused_with_how_to_mend_it() -> None:
    app = vg.App("weather")
    warm = app.topic("warm", Warm, key="sensor")
    with pytest.raises(DeclarationError, match=r"expected 'celsius' to be Float64, got Str.*cast"):
        topic(app).with_columns(celsius=pl.lit("hot")).to(warm)


def test_a_null_in_a_required_column_becomes_a_dead_letter() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.to(app.topic("warm", Warm, key="sensor"))
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 30), reading("b", None), reading("c", 20)])

        assert column(harness, "warm", "sensor") == ["a", "c"]
        (letter,) = harness.dead_letters
        assert letter.key == b"b"
        assert "celsius" in letter.error


def test_json_can_be_written() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.select("sensor", "celsius").to("copy", form="json")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1.5))

        (read,) = harness.hub.reader({vg.hub.TopicPartition("copy", 0): 0}).read()
        assert read.values.to_list() == [b'{"sensor":"a","celsius":1.5}']


def test_a_derived_stream_is_no_place_to_write_to() -> None:
    app = vg.App("weather")
    readings = topic(app)
    with pytest.raises(DeclarationError, match="expected a topic to write to"):
        readings.to(readings.drop("at"))
