"""Tumbling and hopping windows give what Kafka Streams gives.

Left out by rule: results on close where Kafka Streams' store has its default retention, which
loses windows before they are given out. Where the retention is a year nothing is lost, and those
scenarios are all here.
"""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
import pytest

import vagus as vg
from tests.streams.oracle import (
    Number,
    Pipeline,
    Scenario,
    Text,
    check_in_batches,
    check_one_by_one,
    column,
    joined,
    joining,
    scenarios,
)

OPERATORS = [
    f"{kind}_{aggregate}_{emit}"
    for kind in ("tumbling", "hopping")
    for aggregate in ("count", "list")
    for emit in ("each", "suppress", "onclose")
]


def _build(operator: str, parameters: dict[str, Any], *, folded: bool = False) -> Pipeline:
    kind, aggregate, emitted = operator.split("_")
    size, grace = f"{parameters['size']}ms", f"{parameters['grace']}ms"
    if kind == "tumbling":
        window = vg.tumbling(size, grace=grace)
    else:
        window = vg.hopping(size, every=f"{parameters['advance']}ms", grace=grace)
    emit: Literal["each", "final"] = "each" if emitted == "each" else "final"
    app = vg.App(kind)
    if aggregate == "count":
        counts = app.topic("in", Number).window(window).agg(n=vg.count(), emit=emit)
        counts.to("out")
        return Pipeline(app, column("n"))
    grouping = app.topic("in", Text).window(window)
    if folded:
        values = vg.fold("v", joining, initial="", dtype=pl.String)
        grouping.agg(values=values, emit=emit).to("out")
        return Pipeline(app, lambda row: row["values"][1:])
    grouping.agg(values=vg.collect("v"), emit=emit).to("out")
    return Pipeline(app, joined("values"))


def _sound(operator: str) -> list[Scenario]:
    found = scenarios(f"03-{operator.partition('_')[0]}", operator)
    return [one for one in found if one.parameters.get("retention") != "default"]


@pytest.mark.parametrize("operator", OPERATORS)
def test_one_record_a_batch_gives_what_kafka_streams_gives(operator: str, seed: int) -> None:
    check_one_by_one(lambda given: _build(operator, given), _sound(operator), seed)


@pytest.mark.parametrize("operator", OPERATORS)
def test_larger_batches_give_the_same(operator: str, seed: int) -> None:
    check_in_batches(lambda given: _build(operator, given), _sound(operator), seed)


@pytest.mark.parametrize("operator", [one for one in OPERATORS if "list" in one])
def test_a_fold_sees_the_same_records_in_the_same_order(operator: str, seed: int) -> None:
    check_in_batches(lambda given: _build(operator, given, folded=True), _sound(operator), seed)
