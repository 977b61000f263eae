"""`vagus produce`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg
from vagus.cli import main
from vagus.cli.inputs import infer_schema, read_rows
from vagus.events import AvroCodec, MemoryRegistry
from vagus.hub import TopicPartition


class Reading(vg.Event):
    sensor: str
    celsius: float
    on: bool | None = None
    at: str | None = None


class Opened(vg.Event):
    door: str


class Closed(vg.Event):
    door: str
    by: str


app = vg.App("weather")
readings = app.topic("reading", Reading, key="sensor", partitions=2)
doors = app.topic("door", Opened | Closed, key="door")


@pytest.fixture
def typed(folder: Path) -> vg.Client:
    """A hub whose topics have schemas, and one event each."""
    with vg.Client(app, "vagus.db") as client:
        client.send(readings, Reading(sensor="roof", celsius=21.5))
        client.send(doors, [Opened(door="front"), Closed(door="front", by="ann")])
        yield client


def test_a_new_topic_gets_an_inferred_schema(vagus, bus):
    fields = {each["name"]: each["type"] for each in vagus("schema", "show", bus).json["fields"]}
    assert fields == {
        "bus_id": ["null", "string"],
        "speed_kmh": ["null", "double"],
        "at": ["null", {"type": "long", "logicalType": "timestamp-micros"}],
        "line": ["null", "long"],
    }


def test_key_and_time_come_from_columns(vagus, bus):
    first = vagus("consume", bus, "--limit", "1").lines[0]
    assert first["_key"] == "17"
    assert first["_time"] == "2026-01-31T12:00:00Z"


def test_events_without_a_time_have_the_present(vagus, write):
    write("x.jsonl", '{"a": 1}\n')
    vagus("produce", "x", "x.jsonl")
    assert vagus("consume", "x", "--from", "1h").lines[0]["a"] == 1
    assert vagus("consume", "x", "--from", "2100-01-01").lines == []


def test_csv_is_read_as_the_fields_are(vagus, typed, write):
    write("more.csv", 'sensor,celsius,on\n007,"3.5",TRUE\ncellar,-1,\n')
    vagus("produce", "reading", "more.csv", "--key", "sensor")
    rows = typed.read(readings).filter(pl.col("sensor") != "roof").sort("sensor")
    assert rows.select("sensor", "celsius", "on").rows() == [
        ("007", 3.5, True),
        ("cellar", -1.0, None),
    ]


def test_parquet_is_read(vagus, typed, folder: Path):
    pl.DataFrame({"sensor": ["attic"], "celsius": [19]}).write_parquet("more.parquet")
    vagus("produce", "reading", "more.parquet", "--key", "sensor")
    assert typed.read(readings)["sensor"].sort().to_list() == ["attic", "roof"]


def test_an_application_reads_what_was_produced(vagus, typed, write):
    write("more.jsonl", '{"sensor": "cellar", "celsius": 4}\n')
    vagus("produce", "reading", "more.jsonl", "--key", "sensor")
    [partition] = typed.read(readings, offsets=True).filter(sensor="cellar")["_partition"]
    typed.send(readings, Reading(sensor="cellar", celsius=5))
    same = typed.read(readings, offsets=True).filter(sensor="cellar")["_partition"]
    assert same.to_list() == [partition, partition]


def test_several_types_are_told_apart(vagus, typed, write):
    write(
        "more.jsonl",
        '{"_type": "Closed", "door": "back", "by": "bob"}\n{"type": "Opened", "door": "back"}\n',
    )
    vagus("produce", "door", "more.jsonl", "--key", "door")
    rows = typed.read(doors).filter(door="back").select("_type", "by").rows()
    assert rows == [("Closed", "bob"), ("Opened", None)]


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.jsonl", '{"sensor": "a", "celsius": 1}\n\n{"sensor": "b"}\n', "x.jsonl, line 3"),
        ("x.jsonl", '{"sensor": "a", "celsius": "hot"}\n', "celsius"),
        ("x.jsonl", '{"sensor": "a", "celsiu": 1}\n', "did you mean 'celsius'?"),
        ("x.jsonl", '{"sensor": "a", "celsius": 1}\n[1]\n', "x.jsonl, line 2"),
        ("x.jsonl", '{"sensor": "a", "celsius": 1}\n{"sens', "x.jsonl, line 2"),
        ("x.csv", "sensor,celsius\na,1\nb,hot\n", "got 'hot' (at x.csv, row 2)"),
        ("x.csv", "sensor,celsius,on\na,1,maybe\n", "got 'maybe' (at x.csv, row 1)"),
        ("x.csv", "sensor,celsius\na,1\nb,\n", "x.csv, row 2"),
        ("x.csv", "sensor\na\n", "celsius"),
        ("x.csv", "sensor,celsius,humidity\na,1,2\n", "no field 'humidity'"),
        ("x.parquet", "not parquet", "expected PARQUET"),
    ],
)
def test_a_bad_row_is_named_and_nothing_is_sent(vagus, typed, write, name, text, told):
    write(name, text)
    assert told in vagus("produce", "reading", name, "--key", "sensor", code=1).err
    assert typed.read(readings).height == 1


def test_a_column_that_changes_its_type_is_named(vagus, write):
    write("x.jsonl", '{"a": 1}\n{"a": 2.5}\n{"a": "three"}\n')
    assert "x.jsonl, line 3" in vagus("produce", "x", "x.jsonl", code=1).err


def test_a_refused_file_leaves_no_topic_behind(vagus, write):
    write("x.jsonl", '{"a": 1, "t": "yesterday"}\n')
    assert "x.jsonl, line 1" in vagus("produce", "x", "x.jsonl", "--time", "t", code=1).err
    assert "x" not in [row["topic"] for row in vagus("topic", "list", "--json").json]


def test_events_without_keys_are_refused_among_those_with_keys(vagus, bus):
    assert "say --key" in vagus("produce", bus, "positions.jsonl", code=1).err


def test_a_topic_without_a_schema_is_not_guessed_at(vagus, folder: Path, write):
    plain = vg.App("plain")
    with vg.Client(plain, "vagus.db") as client:
        client.send(plain.topic("log", Opened, form="json"), Opened(door="x"))
    write("x.jsonl", '{"door": "y"}\n')
    assert "no registered schema" in vagus("produce", "log", "x.jsonl", code=1).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x", "none.jsonl"], "no file none.jsonl"),
        (["x", "positions.txt"], "say --format"),
        (["x", "positions.jsonl", "--format", "jsonll"], "did you mean 'jsonl'?"),
        (["bus", "positions.jsonl", "--key", "bus"], "did you mean 'bus_id'?"),
    ],
)
def test_a_wrong_source_is_one_line(vagus, bus, write, words, told):
    write("positions.txt", "")
    assert told in vagus("produce", *words, code=1).err


def test_what_was_consumed_can_be_produced_again(vagus, typed, write):
    typed.delete("reading", "roof")
    write("copy.jsonl", vagus("consume", "reading").out)
    vagus("produce", "reading", "copy.jsonl")
    rows = typed.read(readings).select("_key", "_time", "_tombstone", "celsius").rows()
    assert rows[:2] == rows[2:]
    assert rows[1][2] is True


def test_lines_of_stdin_are_sent_as_they_come(vagus, typed, folder: Path):
    command = [sys.executable, "-m", "vagus.cli", "produce", "reading", "-", "--key", "sensor"]
    sender = subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )
    assert sender.stdin is not None
    assert sender.stderr is not None
    sender.stdin.write('{"sensor": "s1", "celsius": 1}\n')
    sender.stdin.flush()
    places = [TopicPartition("reading", number) for number in range(2)]
    with typed.hub.reader(typed.hub.offsets(places, "latest")) as reader:
        while not (reads := reader.read(wait_s=30.0)):
            assert sender.poll() is None
        assert sum(map(len, reads)) == 1
    sender.stdin.write('{"sensor": "s2"}\n')
    sender.stdin.close()
    told = sender.stderr.read()
    assert sender.wait() == 1
    assert "standard input, line 2" in told
    assert "the 1 events before are sent" in told
    sender.stderr.close()


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {"n": st.none() | st.integers(-(2**53), 2**53), "t": st.none() | st.text(max_size=8)},
            optional={"f": st.floats(allow_nan=False, allow_infinity=False)},
        ),
        min_size=1,
        max_size=20,
    )
)
def test_any_rows_come_back_as_they_went(rows):
    content = "\n".join(json.dumps(row) for row in rows).encode()
    schema, fitted = infer_schema("any", read_rows(content, "jsonl", []))
    codec = AvroCodec([schema], MemoryRegistry(), "any")
    back = codec.decode(codec.encode(fitted.frame)).frame.drop("_row").to_dicts()
    assert back == [{name: row.get(name) for name in back[0]} for row in rows]


def test_large_inputs_are_sent_whole(vagus, write):
    write("many.csv", "id,v\n" + "".join(f"{n},{n / 4}\n" for n in range(150_000)))
    vagus("produce", "many", "many.csv", "--key", "id", "--partitions", "3")
    assert vagus("topic", "describe", "many", "--json").json["events"] == 150_000
    assert main(["hub", "check"]) == 0
