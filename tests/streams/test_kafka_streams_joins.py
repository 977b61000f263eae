"""Joins of a stream with a table give what Kafka Streams gives.

Tables with a history of versions are not among them.
"""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
import pytest

import vagus as vg
from tests.streams.oracle import (
    Number,
    Pipeline,
    Text,
    TextRow,
    check_in_batches,
    check_one_by_one,
    scenarios,
)

HOWS: tuple[Literal["inner", "left"], ...] = ("inner", "left")


def _pair(row: dict[str, Any]) -> str:
    return f"{row['v']}/{'~' if row['w'] is None else row['w']}"


def _by_key(how: Literal["inner", "left"]) -> Pipeline:
    app = vg.App("join")
    table = app.table("table", TextRow, key="k")
    app.topic("stream", Text).join(table, how=how).to("out")
    return Pipeline(app, _pair)


def _by_field(how: Literal["inner", "left"], keys: int) -> Pipeline:
    """The stream's value chooses one of the first letters, or none."""
    app = vg.App("join")
    table = app.table("global", TextRow, key="k")
    place = pl.col("v") % (keys + 1)
    letter = pl.lit("abcd").str.slice(place, 1)
    stream = app.topic("stream", Number).with_columns(letter=pl.when(place < keys).then(letter))
    stream.join(table, on="letter", how=how).to("out")
    return Pipeline(app, _pair)


@pytest.mark.parametrize("how", HOWS)
def test_by_key_one_record_a_batch_gives_what_kafka_streams_gives(
    how: Literal["inner", "left"], seed: int
) -> None:
    found = scenarios("05-stream-table", f"stream_table_{how}")
    check_one_by_one(lambda given: _by_key(how), found, seed)


@pytest.mark.parametrize("how", HOWS)
def test_by_key_larger_batches_give_the_same(how: Literal["inner", "left"], seed: int) -> None:
    found = scenarios("05-stream-table", f"stream_table_{how}")
    check_in_batches(lambda given: _by_key(how), found, seed)


@pytest.mark.parametrize("how", HOWS)
def test_by_a_field_one_record_a_batch_gives_what_kafka_streams_gives(
    how: Literal["inner", "left"], seed: int
) -> None:
    found = scenarios("06-global", f"stream_global_{how}")
    check_one_by_one(lambda given: _by_field(how, given["keys"]), found, seed)


@pytest.mark.parametrize("how", HOWS)
def test_by_a_field_larger_batches_give_the_same(how: Literal["inner", "left"], seed: int) -> None:
    found = scenarios("06-global", f"stream_global_{how}")
    check_in_batches(lambda given: _by_field(how, given["keys"]), found, seed, whole=("global",))
