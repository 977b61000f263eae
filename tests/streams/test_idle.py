"""A window with idle closes also when nothing has come for that long, by the wall clock."""

from __future__ import annotations

import vagus as vg
from tests.streams.readings import at, column, reading, rows, topic


def _app() -> tuple[vg.App, vg.Stream]:
    app = vg.App("weather")
    readings = topic(app)
    window = vg.tumbling("10m", grace="5m", idle="1h")
    readings.window(window).agg(n=vg.count(), emit="final", name="step").to("count")
    return app, readings


def test_silence_closes_the_open_windows() -> None:
    app, readings = _app()
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("59m")
        assert harness.read("count").is_empty()

        harness.advance("1m")
        assert rows(harness, "count", "sensor", "window_start", "n") == [("a", at(0), 1)]


def test_a_new_event_puts_it_off() -> None:
    app, readings = _app()
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("50m")
        harness.send(readings, reading("a", 1))
        harness.advance("50m")

        assert harness.read("count").is_empty()


def test_each_window_is_given_out_once() -> None:
    app, readings = _app()
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("1h")
        harness.advance("5h")
        harness.send(readings, reading("a", 1, minutes=100))
        harness.advance("1h")

        assert column(harness, "count", "window_start") == [at(0), at(100)]


def test_an_event_for_a_window_so_closed_is_late() -> None:
    app, readings = _app()
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("1h")
        harness.send(readings, reading("a", 1, minutes=2))

        assert harness.read("count").height == 1
        assert harness.metrics.count("records_late", "step") == 1


def test_it_stays_closed_over_a_restart() -> None:
    app, readings = _app()
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("1h")
        harness.restart()
        harness.send(readings, [reading("a", 1, minutes=2), reading("a", 1, minutes=40)])
        harness.send(readings, reading("a", 1, minutes=400))

        assert column(harness, "count", "window_start") == [at(0), at(40)]


def test_without_idle_silence_closes_nothing() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), emit="final").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.advance("1000h")

        assert harness.read("count").is_empty()
