"""Stateless steps give what Kafka Streams gives."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import vagus as vg
from tests.streams.oracle import (
    Build,
    Number,
    NumberRow,
    Pipeline,
    check_in_batches,
    check_one_by_one,
    column,
    scenarios,
)

FILE = "01-stateless"
value = pl.col("v")


def _filter(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("filter")
    passes = value.is_not_null() & (value >= parameters["threshold"])
    app.topic("in", Number).filter(~passes if parameters["negate"] else passes).to("out")
    return Pipeline(app, column("v"))


def _map_values(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("map")
    app.topic("in", Number).with_columns(v=value * parameters["times"]).to("out")
    return Pipeline(app, column("v"))


def _flat_map(parameters: dict[str, Any]) -> Pipeline:
    def several(event: NumberRow) -> list[NumberRow]:
        return [
            NumberRow(k=event.k if i % 2 == 0 else f"x{i}", v=10 * event.v + i)
            for i in range(event.v % parameters["modulus"])
        ]

    app = vg.App("flat")
    app.topic("in", NumberRow, key="k").flat_map(several, into=NumberRow).rekey("k").to("out")
    return Pipeline(app, column("v"))


def _branch(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("branch")
    low, even, rest = app.topic("in", Number).branch(
        value < parameters["threshold"], value % 2 == 0
    )
    low.to("low")
    even.to("even")
    if not parameters["default_branch"]:
        return Pipeline(app, column("v"), outputs=("low", "even"))
    rest.to("rest")
    return Pipeline(app, column("v"), outputs=("low", "even", "rest"))


def _merge(parameters: dict[str, Any]) -> Pipeline:
    app = vg.App("merge")
    app.topic("left", Number).merge(app.topic("right", Number)).to("out")
    return Pipeline(app, column("v"))


def _select_key_count(parameters: dict[str, Any]) -> Pipeline:
    group = value % parameters["modulus"]
    key = (
        pl.when(value.is_null())
        .then("_key")
        .when(group != parameters["modulus"] - 1)
        .then(pl.format("g{}", group))
    )
    app = vg.App("rekey")
    counts = app.topic("in", Number).rekey(key.alias("g")).group_by().agg(n=vg.count(), emit="each")
    counts.to("out")
    return Pipeline(app, column("n"))


BUILDS: dict[str, Build] = {
    "filter": _filter,
    "map_values": _map_values,
    "flat_map": _flat_map,
    "branch": _branch,
    "merge": _merge,
    "select_key_count": _select_key_count,
}


@pytest.mark.parametrize("operator", BUILDS)
def test_one_record_a_batch_gives_what_kafka_streams_gives(operator: str, seed: int) -> None:
    check_one_by_one(BUILDS[operator], scenarios(FILE, operator), seed)


@pytest.mark.parametrize("operator", BUILDS)
def test_larger_batches_give_the_same(operator: str, seed: int) -> None:
    check_in_batches(BUILDS[operator], scenarios(FILE, operator), seed)
