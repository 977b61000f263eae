"""late_to sends events that come too late for a window to a topic of their own."""

from __future__ import annotations

import vagus as vg
from tests.streams.readings import at, reading, rows, topic


def test_late_events_are_written_as_they_came() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), late_to="late").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", n, minutes) for n, minutes in enumerate((9, 10, 8))])

        assert rows(harness, "late", "_key", "_time", "sensor", "celsius", "at") == [
            ("a", at(8), "a", 2, at(8))
        ]


def test_an_event_that_is_late_for_one_of_its_windows_is_written_once() -> None:
    app = vg.App("weather")
    readings = topic(app)
    windows = readings.window(vg.hopping("10m", every="2m"))
    windows.agg(n=vg.count(), late_to="late", name="step").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes=20), reading("a", 2, minutes=15)])

        assert rows(harness, "late", "celsius") == [(2,)]
        assert harness.metrics.count("records_late", "step") == 3


def test_without_late_events_nothing_is_written() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count(), late_to="late").to("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        assert harness.read("late").is_empty()
