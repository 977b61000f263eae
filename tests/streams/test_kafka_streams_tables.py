"""Tables give what Kafka Streams gives. Tables with a history of versions are not among them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import vagus as vg
from tests.streams.oracle import (
    Build,
    NumberRow,
    Pipeline,
    check_in_batches,
    check_one_by_one,
    column,
    scenarios,
)

FILE = "04-table"

value = pl.col("v")


def _to_stream(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("table")
    table = app.table("in", NumberRow, key="k", kept=parameters["materialized"])
    table.to_stream().to("out")
    return Pipeline(app, column("v"))


def _filter(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("table")
    table = app.table("in", NumberRow, key="k", kept=parameters["source_materialized"])
    passes = value >= parameters["threshold"]
    table.filter(~passes if parameters["negate"] else passes).to("out")
    return Pipeline(app, column("v"))


def _map_values(parameters: dict[str, Any]) -> Pipeline:
    """A negative value becomes null there: the row is deleted, which is what a filter does here."""
    app = vg.App("table")
    table = app.table("in", NumberRow, key="k").filter(value >= 0)
    table.with_columns(v=value * parameters["times"]).to("out")
    return Pipeline(app, column("v"))


def _group_count(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("table")
    group = pl.when(value != 9).then(pl.format("g{}", value % parameters["modulus"]))
    table = app.table("in", NumberRow, key="k").group_by(group.alias("g"))
    table.agg(n=vg.count(), emit="each").to("out")
    return Pipeline(app, column("n"))


def _group_sum(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("table")
    group = pl.when(value != 9).then(pl.format("g{}", value % parameters["modulus"]))
    table = app.table("in", NumberRow, key="k").group_by(group.alias("g"))
    table.agg(total=vg.sum("v"), emit="each").to("out")
    return Pipeline(app, column("total"))


def _filter_group_sum(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("table")
    table = app.table("in", NumberRow, key="k").filter(value >= parameters["threshold"])
    groups = table.group_by(pl.format("g{}", value % parameters["modulus"]).alias("g"))
    groups.agg(total=vg.sum("v"), emit="each").to("out")
    return Pipeline(app, column("total"))


BUILDS: dict[str, Build] = {
    "table_to_stream": _to_stream,
    "table_filter": _filter,
    "table_map_values": _map_values,
    "table_group_count": _group_count,
    "table_group_sum": _group_sum,
    "table_filter_group_sum": _filter_group_sum,
}


@pytest.mark.parametrize("operator", BUILDS)
def test_one_record_a_batch_gives_what_kafka_streams_gives(operator: str, seed: int) -> None:
    check_one_by_one(BUILDS[operator], scenarios(FILE, operator), seed)


@pytest.mark.parametrize("operator", BUILDS)
def test_larger_batches_give_the_same(operator: str, seed: int) -> None:
    check_in_batches(BUILDS[operator], scenarios(FILE, operator), seed)
