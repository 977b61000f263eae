"""Aggregates over all events of a key give what Kafka Streams gives."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import vagus as vg
from tests.streams.oracle import (
    Build,
    Number,
    Pipeline,
    Text,
    check_in_batches,
    check_one_by_one,
    column,
    joined,
    joining,
    scenarios,
)

FILE = "02-aggregate"


def _count(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("count")
    app.topic("in", Number).group_by().agg(n=vg.count(), emit="each").to("out")
    return Pipeline(app, column("n"))


def _reduce_sum(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("sum")
    app.topic("in", Number).group_by().agg(total=vg.sum("v"), emit="each").to("out")
    return Pipeline(app, column("total"))


def _list_collected(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("list")
    app.topic("in", Text).group_by().agg(values=vg.collect("v"), emit="each").to("out")
    return Pipeline(app, joined("values"))


def _list_folded(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("list")
    values = vg.fold("v", joining, initial="", dtype=pl.String)
    app.topic("in", Text).group_by().agg(values=values, emit="each").to("out")
    return Pipeline(app, lambda row: row["values"][1:])


BUILDS: dict[str, tuple[str, Build]] = {
    "count": ("count", _count),
    "reduce_sum": ("reduce_sum", _reduce_sum),
    "aggregate_list, collected": ("aggregate_list", _list_collected),
    "aggregate_list, folded": ("aggregate_list", _list_folded),
}


@pytest.mark.parametrize("variant", BUILDS)
def test_one_record_a_batch_gives_what_kafka_streams_gives(variant: str, seed: int) -> None:
    operator, build = BUILDS[variant]
    check_one_by_one(build, scenarios(FILE, operator), seed)


@pytest.mark.parametrize("variant", BUILDS)
def test_larger_batches_give_the_same(variant: str, seed: int) -> None:
    operator, build = BUILDS[variant]
    check_in_batches(build, scenarios(FILE, operator), seed)
