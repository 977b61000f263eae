"""group_by and agg keep a row for each group."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import MIDNIGHT, at, column, reading, rows, topic
from vagus.errors import DeclarationError


def test_each_group_has_a_row() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2), reading("a", 3)])

        assert harness.views["count"].get("a") == {"sensor": "a", "n": 2}
        assert harness.views["count"].get("b") == {"sensor": "b", "n": 1}
        assert harness.views["count"].get("c") is None


def test_a_row_has_the_largest_time_of_its_events() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count(), emit="each").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes=5), reading("a", 2, minutes=3)])

        assert column(harness, "count", "_time") == [at(5), at(5)]


def test_deletions_and_events_without_a_key_are_dropped_and_counted() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count(), name="count").to("count")
    with vg.testing.Harness(app) as harness:
        harness.delete(readings, "a")
        frame = pl.DataFrame({"_key": [None], "sensor": ["a"], "celsius": [1.0], "at": [MIDNIGHT]})
        harness.send(readings, frame.cast({"_key": pl.String, "at": pl.Datetime("us", "UTC")}))

        assert harness.read("count").is_empty()
        assert harness.metrics.count("records_dropped", "count") == 2


def test_update_gives_the_newest_row_of_each_changed_group_once_a_batch() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count(), emit="update").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(s, 1) for s in "abaa"])
        harness.send(readings, reading("b", 1))

        assert rows(harness, "count", "sensor", "n") == [("b", 1), ("a", 3), ("b", 2)]


def test_each_gives_a_row_for_each_event_in_order() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count(), emit="each").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(s, 1) for s in "abaa"])

        assert rows(harness, "count", "sensor", "n") == [("a", 1), ("b", 1), ("a", 2), ("a", 3)]


def test_final_is_refused_without_windows() -> None:
    with pytest.raises(DeclarationError, match="emit='final' needs windows"):
        topic(vg.App("weather")).group_by().agg(n=vg.count(), emit="final")


def test_another_column_can_be_grouped_by() -> None:
    app = vg.App("weather")
    readings = topic(app)
    whole = readings.with_columns(degrees=pl.col("celsius").cast(pl.Int64))
    whole.group_by("degrees").agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 20.1), reading("b", 20.9), reading("c", 3)])

        assert harness.views["count"].get(20) == {"degrees": 20, "n": 2}


def test_an_expression_can_be_grouped_by() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by(pl.col("sensor").str.slice(0, 1).alias("house")).agg(n=vg.count()).to_table(
        "count"
    )
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a1", 1), reading("a2", 1)])

        assert harness.views["count"].get("a") == {"house": "a", "n": 2}


def test_rows_are_still_there_after_a_restart() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count(), mean=vg.mean("celsius")).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("a", 2)])
        harness.restart()
        harness.send(readings, reading("a", 6))

        assert harness.views["count"].get("a") == {"sensor": "a", "n": 3, "mean": 3}


def test_groupings_of_one_topic_and_key_are_named_apart() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count())
    with pytest.raises(DeclarationError, match=r"two steps are called 'reading-by-sensor'.*name="):
        readings.group_by().agg(total=vg.sum("celsius"))


def test_nothing_to_compute_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"nothing to compute.*vg\.count"):
        topic(vg.App("weather")).group_by().agg()


def test_what_is_no_aggregate_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected an aggregate for 'n', got Expr"):
        topic(vg.App("weather")).group_by().agg(n=pl.len())  # type: ignore[arg-type]


def test_a_result_called_like_the_key_is_refused() -> None:
    with pytest.raises(DeclarationError, match="the name 'sensor' is taken"):
        topic(vg.App("weather")).group_by().agg(sensor=vg.count())


def test_an_aggregate_of_an_unknown_column_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no column 'celsus'.*'celsius'"):
        topic(vg.App("weather")).group_by().agg(mean=vg.mean("celsus"))


def test_an_unknown_emit_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"expected emit='update', 'each' or 'final'"):
        topic(vg.App("weather")).group_by().agg(n=vg.count(), emit="all")  # type: ignore[arg-type]


def test_a_table_retains_rows_for_a_while_if_asked() -> None:
    app = vg.App("weather")
    table = topic(app).group_by().agg(n=vg.count()).to_table("count", retention=timedelta(days=1))

    assert table.topic is not None
    assert table.topic.config.cleanup == "compact,delete"
    assert table.topic.config.retention_s == 86_400
