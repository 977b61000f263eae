"""to_table writes rows to a compacted topic, which answers queries."""

from __future__ import annotations

import pytest

import vagus as vg
from tests.streams.readings import MIDNIGHT, at, reading, topic
from vagus.errors import VagusError


def test_the_topic_is_compacted() -> None:
    app = vg.App("weather")
    topic(app).group_by().agg(n=vg.count()).to_table("count", partitions=2)
    with vg.testing.Harness(app) as harness:
        harness.run()

        config = harness.hub.describe_topic("count").config
        assert (config.cleanup, config.partitions) == ("compact", 2)


def test_a_row_is_found_by_its_key() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("a", 2)])

        assert harness.views["count"].get("a") == {"sensor": "a", "n": 2}
        assert harness.views["count"].get("z") is None


def test_rows_are_scanned_by_prefix_and_limit_in_order_of_keys() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.group_by().agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(s, 1) for s in ("north-2", "south-1", "north-1")])

        view = harness.views["count"]
        assert view.scan()["sensor"].to_list() == ["north-1", "north-2", "south-1"]
        assert view.scan(prefix="north")["sensor"].to_list() == ["north-1", "north-2"]
        assert view.scan(limit=1)["sensor"].to_list() == ["north-1"]


def test_windowed_rows_are_found_by_key_and_range_of_windows() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.window(vg.tumbling("10m")).agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1, minutes) for minutes in (1, 11, 12, 21)])

        view = harness.views["count"]
        assert [(row["window_start"], row["n"]) for row in view.get("a")] == [
            (MIDNIGHT, 1),
            (at(10), 2),
            (at(20), 1),
        ]
        between = view.scan(window_from=at(10), window_to=at(20))
        assert between["n"].to_list() == [2]


def test_an_unknown_view_is_refused_with_the_nearest_name() -> None:
    app = vg.App("weather")
    topic(app).group_by().agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.run()

        with pytest.raises(VagusError, match=r"no view 'cuont'.*did you mean 'count'"):
            harness.views["cuont"]
