"""branch splits a stream: each event goes to the first branch whose expression is true."""

from __future__ import annotations

import polars as pl

import vagus as vg
from tests.streams.readings import column, reading, topic


def test_an_event_goes_to_the_first_branch_that_takes_it_or_to_the_rest() -> None:
    app = vg.App("weather")
    readings = topic(app)
    hot, warm, rest = readings.branch(pl.col("celsius") > 30, pl.col("celsius") > 20)
    hot.to("hot")
    warm.to("warm")
    rest.to("rest")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", c) for c in (35, 25, 15, None)])

        assert column(harness, "hot", "celsius") == [35]
        assert column(harness, "warm", "celsius") == [25]
        assert column(harness, "rest", "celsius") == [15, None]


def test_branches_can_be_merged_again_in_the_order_of_processing() -> None:
    app = vg.App("weather")
    readings = topic(app)
    warm, rest = readings.branch(pl.col("celsius") > 20)
    warm.merge(rest).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", c) for c in (15, 25, 10, 30)])

        assert column(harness, "out", "celsius") == [15, 25, 10, 30]
