"""window groups events by windows of event time."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import at, column, reading, rows, topic
from vagus.errors import DeclarationError


def test_a_tumbling_window_holds_its_start_but_not_its_end() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes) for minutes in (0, 9.99, 10)])

        assert rows(harness, "count", "sensor", "window_start", "window_end", "n") == [
            ("a", at(0), at(10), 2),
            ("a", at(10), at(20), 1),
        ]


def test_hopping_windows_overlap() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.hopping("10m", every="5m")).agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1, minutes=7))

        assert rows(harness, "count", "window_start", "window_end") == [
            (at(0), at(10)),
            (at(5), at(15)),
        ]


def test_lateness_is_judged_record_by_record_within_a_batch() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m", grace="5m")).agg(n=vg.count(), name="step").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes) for minutes in (3, 14.9, 4, 15, 5)])

        assert rows(harness, "count", "window_start", "n") == [(at(0), 2), (at(10), 2)]
        assert harness.metrics.count("records_late", "step") == 1


def test_time_moves_for_all_keys_together() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), name="step").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes=10), reading("b", 1, minutes=9)])

        assert column(harness, "count", "sensor") == ["a"]
        assert harness.metrics.count("records_late", "step") == 1


def test_time_is_remembered_over_a_restart() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), name="step").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1, minutes=10))
        harness.restart()
        harness.send(readings, reading("a", 1, minutes=9))

        assert harness.metrics.count("records_late", "step") == 1


def test_final_gives_one_result_when_a_window_closes() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m", grace="2m")).agg(n=vg.count(), emit="final").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes=1), reading("a", 1, minutes=2)])
        harness.send(readings, reading("b", 1, minutes=11.9))
        assert harness.read("count").is_empty()

        harness.send(readings, reading("b", 1, minutes=12))
        assert rows(harness, "count", "sensor", "window_start", "n") == [("a", at(0), 2)]


def test_a_window_that_opens_and_closes_in_one_batch_is_given_out() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), emit="final").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes) for minutes in (1, 11, 21)])

        assert rows(harness, "count", "window_start", "n") == [(at(0), 1), (at(10), 1)]


def test_the_three_ways_to_emit_agree_on_the_final_state() -> None:
    app = vg.App("weather")
    readings = topic(app)
    window = readings.window(vg.hopping("10m", every="5m"))
    for emit in ("update", "each", "final"):
        window.agg(values=vg.collect("celsius"), emit=emit, name=emit).to(emit)  # type: ignore[arg-type]
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", n, minutes=n) for n in range(40)])
        harness.send(readings, reading("a", 0, minutes=1000))

        def newest(name: str) -> pl.DataFrame:
            found = harness.read(name).filter(pl.col("window_end") <= at(1000))
            return found.unique("window_start", keep="last").sort("window_start")

        assert newest("update").equals(newest("final"))
        assert newest("each").equals(newest("final"))
        assert newest("final").height == 9


def test_another_column_can_be_windowed_by() -> None:
    app = vg.App("weather")
    readings = topic(app).with_columns(degrees=pl.col("celsius").cast(pl.Int64))
    readings.window(vg.tumbling("10m"), by="degrees").agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        harness.send("reading", [reading("a", 5), reading("b", 5.5)])

        assert rows(harness, "count", "degrees", "n") == [(5, 2)]


def test_windows_that_would_leave_gaps_are_refused() -> None:
    with pytest.raises(DeclarationError, match="expected 0 < every <= size"):
        vg.hopping("5m", every="10m")


@pytest.mark.parametrize("duration", ["5 minutes", "", "m", "5", "-5m", 5])
def test_what_is_no_duration_is_refused(duration: str) -> None:
    with pytest.raises(DeclarationError, match="expected a duration such as '30s'"):
        vg.tumbling(duration)


def test_state_of_closed_windows_goes_away() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("1m")).agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        for minute in range(20):
            harness.send(readings, [reading(sensor, 1, minute) for sensor in "abc"])

        (running,) = harness.worker._running.values()
        (store,) = running.task.stores.values()
        assert len(store) == 3
