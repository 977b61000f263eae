"""`vagus schema`."""

from __future__ import annotations

import json

import pytest


def avro(**types) -> str:
    fields = [{"name": name, "type": kind} for name, kind in types.items()]
    return json.dumps({"type": "record", "name": "Bus", "fields": fields})


APP = """
import vagus as vg

class Bus(vg.Event):
    bus_id: str | None
    speed_kmh: {kind}

app = vg.App("fleet")
app.topic("bus", Bus, key="bus_id")
"""


def test_subjects_are_listed(vagus, bus):
    assert vagus("schema", "list", "--json").json == [
        {
            "subject": "bus-value",
            "name": "Bus",
            "versions": 1,
            "id": 1,
            "compatibility": "BACKWARD",
        }
    ]


@pytest.mark.parametrize("what", ["bus", "bus-value", "1"])
def test_a_schema_is_shown_by_topic_subject_or_id(vagus, bus, what: str):
    assert vagus("schema", "show", what).json["name"] == "Bus"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["buss"], "did you mean 'bus'?"),
        (["bus", "--version", "7"], "no version 7"),
        (["99"], "99"),
    ],
)
def test_an_unknown_schema_is_one_line(vagus, bus, words: list[str], told: str):
    assert told in vagus("schema", "show", *words, code=1).err


def test_a_compatible_schema_passes(vagus, bus, write):
    write("new.avsc", avro(bus_id=["null", "string"]))
    done = vagus("schema", "check", "new.avsc", "--subject", "bus", "--json")
    assert done.json == [{"subject": "bus-value", "result": "compatible", "reason": None}]


def test_an_incompatible_schema_is_exit_code_3_and_says_why(vagus, bus, write):
    write("new.avsc", avro(driver="string"))
    done = vagus("schema", "check", "new.avsc", "--subject", "bus", code=3)
    assert "'driver'" in done.err


def test_the_schemas_of_an_application_are_checked(vagus, bus, write):
    write("fleet_ok.py", APP.format(kind="float | None"))
    assert vagus("schema", "check", "fleet_ok.py", "--json").json[0]["result"] == "compatible"
    write("fleet_bad.py", APP.format(kind="str"))
    assert "speed_kmh" in vagus("schema", "check", "fleet_bad.py", code=3).err


def test_checking_registers_nothing(vagus, bus, write):
    write("new.avsc", avro(bus_id=["null", "string"]))
    vagus("schema", "check", "new.avsc", "--subject", "bus")
    assert vagus("schema", "list", "--json").json[0]["versions"] == 1


@pytest.mark.parametrize(
    ("text", "told"), [("{", "expected an Avro schema"), ('"string"', "expected an Avro record")]
)
def test_a_file_that_is_no_schema_is_one_line(vagus, bus, write, text: str, told: str):
    write("new.avsc", text)
    assert told in vagus("schema", "check", "new.avsc", "--subject", "bus", code=1).err
