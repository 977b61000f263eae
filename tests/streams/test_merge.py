"""merge makes one stream of several."""

from __future__ import annotations

import pytest

import vagus as vg
from tests.streams.readings import column, reading, topic
from vagus.errors import DeclarationError


def test_events_come_in_the_order_of_processing() -> None:
    app = vg.App("weather")
    inside, outside, roof = topic(app, "inside"), topic(app, "outside"), topic(app, "roof")
    inside.merge(outside, roof).to("all")
    with vg.testing.Harness(app) as harness:
        harness.put(inside, reading("a", 1))
        harness.put(roof, reading("b", 2))
        harness.put(outside, reading("c", 3))
        harness.put(inside, reading("d", 4))
        harness.run()

        assert column(harness, "all", "celsius") == [1, 2, 3, 4]


def test_streams_of_other_columns_are_refused() -> None:
    app = vg.App("weather")
    readings = topic(app)
    with pytest.raises(DeclarationError, match="expected streams of the same columns and key"):
        readings.merge(readings.drop("at"))
