"""map_frames applies a function of one's own to whole frames."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Reading, column, reading, rows, topic
from vagus.errors import DeclarationError


def _doubled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("celsius") * 2)


def test_the_function_gets_frames_and_gives_frames() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_frames(_doubled).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])

        assert column(harness, "out", "celsius") == [2, 4]


def test_it_may_drop_and_multiply_rows() -> None:
    def twice_if_warm(frame: pl.DataFrame) -> pl.DataFrame:
        warm = frame.filter(pl.col("celsius") > 20)
        return pl.concat([warm, warm]).sort("_seq")

    app = vg.App("weather")
    readings = topic(app)
    readings.map_frames(twice_if_warm).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 21), reading("b", 2), reading("c", 30)])

        assert column(harness, "out", "celsius") == [21, 21, 30, 30]


def test_it_may_make_other_columns_that_into_names() -> None:
    app = vg.App("weather")
    readings = topic(app)

    def words(frame: pl.DataFrame) -> pl.DataFrame:
        assert frame.height, "not called without records where `into` is given"
        word = pl.when(pl.col("celsius") > 20).then(pl.lit("warm")).otherwise(pl.lit("cold"))
        return frame.with_columns(word=word)

    readings.map_frames(words, into={"sensor": pl.String, "word": pl.String}).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 21), reading("b", 2)])

        assert rows(harness, "out", "sensor", "word") == [("a", "warm"), ("b", "cold")]


def test_into_may_be_an_event_class() -> None:
    mapped = topic(vg.App("weather")).map_frames(_doubled, into=Reading)

    assert mapped.event_types == (Reading,)


def test_only_the_record_that_makes_it_raise_becomes_a_dead_letter() -> None:
    def strict(frame: pl.DataFrame) -> pl.DataFrame:
        if (frame["celsius"] > 1000).any():
            raise ValueError("the sensor burns")
        return frame

    app = vg.App("weather")
    readings = topic(app)
    readings.map_frames(strict).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(str(n), 5000 if n == 6 else n) for n in range(10)])

        assert column(harness, "out", "celsius") == [n for n in range(10) if n != 6]
        (letter,) = harness.dead_letters
        assert (letter.key, letter.offset) == (b"6", 6)
        assert letter.error == "ValueError: the sensor burns"


def test_a_frame_without_the_engines_columns_is_said_to_be_so() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_frames(lambda frame: frame.select("celsius"), into={"celsius": pl.Float64}).to(
        "out"
    )
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        (letter,) = harness.dead_letters
        assert "without _seq, _key, _time, _tombstone" in letter.error


def test_a_function_that_fails_on_an_empty_frame_needs_into() -> None:
    with pytest.raises(DeclarationError, match="no column 'missing'"):
        topic(vg.App("weather")).map_frames(lambda frame: frame.select("missing"))


def test_so_it_is_while_declaring_where_the_function_is_tried() -> None:
    with pytest.raises(DeclarationError, match=r"without _seq, _key, _time, _tombstone.*keep the"):
        topic(vg.App("weather")).map_frames(lambda frame: frame.select("celsius"))


def test_what_is_no_frame_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected map_frames to return a Polars DataFrame"):
        topic(vg.App("weather")).map_frames(lambda frame: frame["celsius"])  # type: ignore[arg-type, return-value]


def test_later_steps_see_the_order_of_the_stream_even_if_the_function_sorts() -> None:
    app = vg.App("weather")
    readings = topic(app)
    coldest_first = readings.map_frames(lambda frame: frame.sort("celsius"))
    coldest_first.window(vg.tumbling("1m")).agg(n=vg.count(), name="step").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 30 - minute, minute) for minute in range(5)])

        assert harness.metrics.count("records_late", "step") == 0
        assert harness.read("count").height == 5
