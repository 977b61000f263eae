"""Scenarios of Kafka Streams, and a way to put Vagus through them."""

from __future__ import annotations

import gzip
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import vagus as vg
from vagus.hub import TopicConfig, TopicPartition

FOLDER = Path(__file__).parents[1] / "data" / "streams-oracle"
TIME = pl.Datetime("ms", "UTC")

Value = Callable[[dict[str, Any]], Any]


class Number(vg.Event):
    v: int


class Text(vg.Event):
    v: str


class NumberRow(vg.Event):
    k: str | None
    v: int


class TextRow(vg.Event):
    k: str | None
    w: str


@dataclass(frozen=True)
class Scenario:
    """What went into Kafka Streams, and what came out."""

    id: str
    operator: str
    parameters: dict[str, Any]
    input: list[dict[str, Any]]
    output: list[dict[str, Any]]
    dropped: int
    dropped_at: dict[str, int]

    def expected(self, *, input_too: bool) -> list[tuple[Any, ...]]:
        """The outputs as tuples: topic, key, window, value, timestamp, and the input's index."""
        return [
            (
                one["topic"],
                one["key"],
                one.get("window_start"),
                one.get("window_end"),
                one["value"],
                one["timestamp"],
                *((one["input"],) if input_too else ()),
            )
            for one in self.output
        ]


@dataclass(frozen=True)
class Pipeline:
    """An application that does what an operator of Kafka Streams does.

    `value` makes of an output row what Kafka Streams has as value; `ignored` tells whether a drop
    that Kafka Streams counts at an input is none here.
    """

    app: vg.App
    value: Value
    outputs: tuple[str, ...] = ("out",)
    drops: tuple[str, ...] = ("records_dropped", "records_late")
    uncounted: Callable[[dict[str, Any]], bool] = field(default=lambda record: False)


Build = Callable[[dict[str, Any]], Pipeline]


@cache
def scenarios(file: str, operator: str) -> list[Scenario]:
    """The scenarios of one operator."""
    found = []
    with gzip.open(FOLDER / f"shown-{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if f'"{operator}"' in line:
                scenario = Scenario(**json.loads(line))
                if scenario.operator == operator:
                    found.append(scenario)
    assert found, f"no scenarios of {operator} in {file}"
    return found


def column(name: str) -> Value:
    """The value is in one column."""
    return lambda row: row[name]


def joined(name: str) -> Value:
    """The value is a list of texts, which Kafka Streams has joined by commas, `~` for null."""
    return lambda row: ",".join("~" if one is None else one for one in row[name])


def joining(state: str, value: str | None) -> str:
    """The fold that makes such a text, with a comma before each."""
    return f"{state},{'~' if value is None else value}"


def frame(pipeline: Pipeline, topic: str, records: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Records of a topic as a frame to send; a null value is a deletion."""
    records = list(records)
    columns = pipeline.app.topics[topic].columns
    values = next(name for name in columns if name != "k")
    data = {
        "_key": pl.Series([one["key"] for one in records], dtype=pl.String),
        "_time": pl.Series([one["timestamp"] for one in records]).cast(TIME),
        "_tombstone": pl.Series([one["value"] is None for one in records]),
        values: pl.Series([one["value"] for one in records], dtype=columns[values]),
    }
    if "k" in columns:
        data["k"] = data["_key"]
    return pl.DataFrame(data)


def _harness(pipeline: Pipeline, scenario: Scenario) -> vg.testing.Harness:
    """A harness in which inputs are not compacted: a compacted topic takes no null keys."""
    harness = vg.testing.Harness(pipeline.app)
    for topic in sorted({one["topic"] for one in scenario.input}):
        harness.hub.create_topic(topic, TopicConfig())
    return harness


def _rows(harness: vg.testing.Harness, pipeline: Pipeline, topic: str) -> list[tuple[Any, ...]]:
    found = []
    rows = harness.read(topic)
    stamps = [name for name in ("_time", "window_start", "window_end") if name in rows.columns]
    for row in rows.with_columns(pl.col(stamps).cast(TIME).to_physical()).iter_rows(named=True):
        value = None if row["_tombstone"] else pipeline.value(row)
        window = (row.get("window_start"), row.get("window_end"))
        found.append((topic, row["_key"], *window, value, row["_time"]))
    return found


def _end(harness: vg.testing.Harness, topic: str) -> int:
    partition = TopicPartition(topic, 0)
    return harness.hub.offsets([partition], "latest")[partition]


def _dropped(harness: vg.testing.Harness, pipeline: Pipeline) -> int:
    return sum(harness.metrics.count(name) for name in pipeline.drops)


def difference_one_by_one(build: Build, scenario: Scenario) -> str | None:
    """Put in one record a batch: how what comes out differs, if it does."""
    pipeline = build(scenario.parameters)
    ends: dict[str, list[int]] = {topic: [] for topic in pipeline.outputs}
    dropped: dict[str, int] = {}
    with _harness(pipeline, scenario) as harness:
        harness.run()
        before = 0
        for index, record in enumerate(scenario.input):
            harness.send(record["topic"], frame(pipeline, record["topic"], [record]))
            for topic, so_far in ends.items():
                so_far.append(_end(harness, topic))
            after = _dropped(harness, pipeline)
            if after > before:
                dropped[str(index)] = after - before
            before = after
        got = []
        for topic, so_far in ends.items():
            rows = _rows(harness, pipeline, topic)
            index = 0
            for at, row in enumerate(rows):
                while so_far[index] <= at:
                    index += 1
                got.append((*row, index))
    got.sort(key=lambda row: row[-1])  # of several outputs, by input
    wanted = scenario.expected(input_too=True)
    if got != wanted:
        return _report(scenario, wanted, got)
    counted = {
        at: count
        for at, count in scenario.dropped_at.items()
        if not pipeline.uncounted(scenario.input[int(at)])
    }
    if dropped != counted:
        return f"{scenario.id}: expected drops at {counted}, got {dropped}"
    return None


def difference_in_batches(
    build: Build, scenario: Scenario, rng: random.Random, *, whole: tuple[str, ...] = ()
) -> str | None:
    """Put in random batches: how what comes out differs, if it does.

    Records of topics in `whole` begin a batch, since every worker reads those tables on its own,
    before it takes the batch in.
    """
    pipeline = build(scenario.parameters)
    with _harness(pipeline, scenario) as harness:
        for batch in _batches(scenario.input, rng, whole):
            for topic, records in _runs(batch):
                harness.put(topic, frame(pipeline, topic, records))
            harness.run()
        got = {topic: _rows(harness, pipeline, topic) for topic in pipeline.outputs}
    for topic, rows in got.items():
        wanted = [row for row in scenario.expected(input_too=False) if row[0] == topic]
        if rows != wanted:
            return _report(scenario, wanted, rows)
    return None


def _batches(
    records: list[dict[str, Any]], rng: random.Random, whole: tuple[str, ...]
) -> Iterator[list[dict[str, Any]]]:
    size = rng.choice([2, 3, 8, 20, 100])
    batch: list[dict[str, Any]] = []
    for record in records:
        breaks = record["topic"] in whole and any(one["topic"] not in whole for one in batch)
        if batch and (breaks or len(batch) >= size):
            yield batch
            batch = []
            size = rng.choice([2, 3, 8, 20, 100])
        batch.append(record)
    yield batch


def _runs(records: list[dict[str, Any]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    run: list[dict[str, Any]] = []
    for record in records:
        if run and run[-1]["topic"] != record["topic"]:
            yield run[0]["topic"], run
            run = []
        run.append(record)
    yield run[0]["topic"], run


def _report(scenario: Scenario, wanted: list[Any], got: list[Any]) -> str:
    at = next(
        (n for n, (one, other) in enumerate(zip(wanted, got, strict=False)) if one != other),
        min(len(wanted), len(got)),
    )
    return (
        f"{scenario.id} {scenario.parameters}: output {at} of {len(wanted)} (got {len(got)}):\n"
        f"    expected {wanted[at : at + 3]}\n    got      {got[at : at + 3]}"
    )


def check_one_by_one(build: Build, found: list[Scenario], seed: int) -> None:
    """Put scenarios in, one record a batch; fail with those that differ.

    A batch of one record costs nearly what a large one does, so that all scenarios take many
    minutes: a fifth of them is chosen each time, and all with VAGUS_ALL_SCENARIOS=1.
    """
    if os.environ.get("VAGUS_ALL_SCENARIOS") != "1":
        found = random.Random(seed).sample(found, -(-len(found) // 5))
    _check(difference_one_by_one(build, one) for one in found)


def check_in_batches(
    build: Build, found: list[Scenario], seed: int, *, whole: tuple[str, ...] = ()
) -> None:
    """Put scenarios in, in random batches; fail with those that differ."""
    _check(
        difference_in_batches(build, one, random.Random(f"{seed} {one.id}"), whole=whole)
        for one in found
    )


def _check(differences: Iterable[str | None]) -> None:
    found = [one for one in differences if one is not None]
    assert not found, f"{len(found)} scenarios differ:\n" + "\n".join(found[:5])
