"""`vagus consume`."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import polars as pl
import pytest
from pydantic import BaseModel, Field

import vagus as vg
from vagus.cli.values import TopicReader
from vagus.hub import Records, TopicConfig, TopicPartition

COMMAND = [sys.executable, "-m", "vagus.cli"]


def offsets(lines: list[dict]) -> list[int]:
    return [line["_offset"] for line in lines]


def test_json_lines_hold_the_event_and_its_place(vagus, bus):
    assert vagus("consume", bus, "--limit", "1").lines == [
        {
            "_partition": 0,
            "_offset": 0,
            "_time": "2026-01-31T12:00:00Z",
            "_key": "17",
            "bus_id": "17",
            "speed_kmh": 31.5,
            "at": "2026-01-31T12:00:00Z",
            "line": 3,
        }
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [0, 1, 2]),
        (["--from", "earliest"], [0, 1, 2]),
        (["--from", "latest"], []),
        (["--from", "1"], [1, 2]),
        (["--from", "99"], []),
        (["--from", "2026-01-31T12:00:05Z"], [1, 2]),
        (["--from", "2026-01-31T13:00:05+01:00"], [1, 2]),
        (["--until", "2026-01-31T12:00:05"], [0]),
        (["--from", "1", "--until", "2"], [1]),
        (["--limit", "2"], [0, 1]),
        (["--from", "1", "--limit", "1", "--partition", "0"], [1]),
    ],
)
def test_a_part_is_read(vagus, bus, words: list[str], expected: list[int]):
    assert offsets(vagus("consume", bus, *words).lines) == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["buss"], "did you mean 'bus'?"),
        (["bus", "--from", "yesterday"], "an age such as 10m"),
        (["bus", "--partition", "7"], "bus[7]"),
    ],
)
def test_a_wrong_place_is_one_line(vagus, bus, words: list[str], told: str):
    assert told in vagus("consume", *words, code=1).err


def test_a_group_reads_on_where_it_is(vagus, bus):
    assert offsets(vagus("consume", bus, "--group", "g", "--limit", "2").lines) == [0, 1]
    assert vagus("group", "list", "--json").json[0]["lag"] == 1
    assert offsets(vagus("consume", bus, "--group", "g").lines) == [2]
    assert offsets(vagus("consume", bus, "--group", "g").lines) == []


def test_a_parquet_file_has_typed_columns(vagus, bus, folder: Path):
    vagus("consume", bus, "--parquet", "bus.parquet")
    frame = pl.read_parquet(folder / "bus.parquet")
    assert frame.schema["at"] == pl.Datetime("us", "UTC")
    assert frame.select("_partition", "_offset", "bus_id", "line").rows() == [
        (0, 0, "17", 3),
        (0, 1, "18", None),
        (0, 2, "17", 4),
    ]


def test_nothing_to_read_writes_no_parquet_file(vagus, bus, folder: Path):
    vagus("consume", bus, "--from", "latest", "--parquet", "bus.parquet", code=1)
    assert not list(folder.glob("bus.parquet*"))


class Kind(Enum):
    A = "a"


class Inner(BaseModel):
    x: int


class Stamped(vg.Event):
    k: str
    at: datetime


class Everything(vg.Event):
    money: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
    blob: bytes
    day: date
    took: timedelta
    which: UUID
    kind: Kind
    counts: dict[str, int]
    inner: Inner
    many: list[float]


def test_values_of_every_type_are_json(vagus, folder: Path):
    app = vg.App("all")
    topic = app.topic("all", Everything)
    event = Everything(
        money=Decimal("12.30"),
        blob=b"\x00\xff",
        day=date(2026, 1, 31),
        took=timedelta(seconds=90),
        which=UUID(int=7),
        kind=Kind.A,
        counts={"a": 1},
        inner=Inner(x=1),
        many=[0.5, float("nan")],
    )
    with vg.Client(app, "vagus.db") as client:
        client.send(topic, event)
    [line] = vagus("consume", "all").lines
    assert {name: value for name, value in line.items() if not name.startswith("_")} == {
        "money": "12.30",
        "blob": "AP8=",
        "day": "2026-01-31",
        "took": "PT1M30S",
        "which": "00000000-0000-0000-0000-000000000007",
        "kind": "a",
        "counts": {"a": 1},
        "inner": {"x": 1},
        "many": [0.5, "NaN"],
    }


def test_deletions_and_unreadable_values_are_shown_as_such(vagus, bus, folder: Path):
    with vg.connect("vagus.db") as hub:
        records = Records.of([b"17", b"x"], [None, b"\x00\x00\x00\x00\x63junk"], [0, 0])
        hub.append([(TopicPartition(bus, 0), records)])
    gone, bad = vagus("consume", bus, "--from", "3").lines
    assert gone["_tombstone"] is True
    assert "bus_id" not in gone
    assert bad["_value"] == "AAAAAGNqdW5r"
    assert bad["_error"]


def test_topics_without_a_schema_are_shown_as_what_they_look_like(vagus, folder: Path):
    values = [b'{"a": 1}', b"hello", b"\xff\x00"]
    with vg.connect("vagus.db") as hub:
        hub.create_topic("raw", TopicConfig())
        keys = [b"text", (5).to_bytes(8, "big"), b"\xff\xfe"]
        hub.append([(TopicPartition("raw", 0), Records.of(keys, values, [0, 1, 2]))])
    lines = vagus("consume", "raw").lines
    assert [line.get("a", line.get("value")) for line in lines] == [1, "hello", "/wA="]
    assert [line["_key"] for line in lines] == ["text", "5", "//4="]


def test_windowed_keys_are_taken_apart(vagus, folder: Path):
    app = vg.App("w")
    topic = app.topic("n", Stamped, key="k", time="at", partitions=1)
    topic.window(vg.tumbling("1m"), by="k").agg(n=vg.count()).to_table("per-minute")
    with vg.testing.Harness(app) as h:
        h.send(topic, [Stamped(k="a", at=datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC))])
        [read] = h.hub.reader(h.hub.offsets([TopicPartition("per-minute", 0)], "earliest")).read()
        frame = TopicReader(h.hub, "per-minute", h.registry).frame(read)
    assert frame["_key"].to_list() == ["a"]
    assert frame["_window"].dt.to_string("%H:%M:%S").to_list() == ["12:00:00"]


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts a command of its own process; it is gone when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *words], stdout=subprocess.PIPE, text=True, cwd=folder
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_follow_waits_for_events_until_a_signal(vagus, bus, start, number: int, code: int):
    process = start("consume", bus, "--group", "g", "--follow")
    for _ in range(3):
        assert process.stdout.readline()
    vagus("produce", bus, "positions.jsonl", "--key", "bus_id")
    assert '"_offset":3' in process.stdout.readline()
    process.send_signal(number)
    assert process.wait(60) == code
    with vg.connect("vagus.db") as hub:
        assert hub.describe_group("g").members == ()


def test_a_terminal_gets_a_table_and_is_told_of_the_rest(bus, folder: Path):
    pl.DataFrame({"n": range(60)}).write_csv("n.csv")
    subprocess.run([*COMMAND, "produce", "n", "n.csv"], check=True, cwd=folder)
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*COMMAND, "consume", "n"], stdout=theirs, stderr=theirs, cwd=folder)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # the other side has been closed
        pass
    os.close(ours)
    assert process.wait() == 0
    lines = [line.strip() for line in shown.decode().splitlines()]
    assert "partition" in lines[0]
    assert lines[50].endswith(" 49")
    assert lines[51].startswith("… 10 more")
