"""Schemas as text: what is sound, and what is the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vagus.errors import SchemaError
from vagus.events.grammar import check_schema, same_text


def _record(*fields: Any, **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": "A", "fields": list(fields), **more}


def _field(kind: Any, **more: Any) -> dict[str, Any]:
    return _record({"name": "x", "type": kind, **more})


SOUND: list[Any] = [
    "string",
    {"type": "string"},
    ["null", "long"],
    _record(),
    _field("A"),
    _field(["null", "A"], default=None),
    _field(["null", "int"], default=3),
    _field("double", default=1),
    _field("bytes", default="\u00ff"),
    _field({"type": "enum", "name": "E", "symbols": ["a"]}, default="a"),
    _field({"type": "fixed", "name": "F", "size": 16, "logicalType": "uuid"}),
    _field({"type": "array", "items": {"type": "map", "values": "A"}}, default=[]),
    _field({"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2}),
]

BROKEN: list[tuple[Any, str]] = [
    (3, "expected an Avro type, got 3"),
    ({}, "expected an Avro type"),
    ("strin", "did you mean 'string'"),
    ({"type": "record", "fields": []}, "expected the name of the record"),
    ({"type": "record", "name": "A"}, "expected a list of fields"),
    ({"type": "record", "name": "1A", "fields": []}, "got '1A'"),
    ({"type": "array"}, "expected 'items' of the array"),
    (["int", "int"], "each type of a union once, got two int"),
    (["int", ["null"]], "no union within a union"),
    (_field("Other"), "got 'Other'"),
    (_record({"type": "int"}), "expected a field with a name"),
    (_record({"name": "x"}), "expected the type of the field"),
    (_record({"name": "x", "type": "int"}, {"name": "x", "type": "int"}), "each field once"),
    (_field(_record()), "expected each name once, got two 'A'"),
    (_field("int", default="a"), "default that fits int"),
    (_field("int", default=1 << 31), "default that fits int"),
    (_field("int", default=True), "default that fits int"),
    (_field("bytes", default="\u0100"), "default that fits bytes"),
    (_field({"type": "enum", "name": "E", "symbols": ["a", "a"]}), "each once"),
    (_field({"type": "enum", "name": "E", "symbols": ["a"]}, default="b"), "default that fits E"),
    (_field({"type": "fixed", "name": "F", "size": "3"}), "expected a size in bytes"),
    (_field({"type": "map", "values": "int"}, default={"a": "b"}), "default that fits map"),
    (_field({"type": "bytes", "logicalType": "decimal", "scale": 2}), "expected a precision"),
    (_field({"type": "bytes", "logicalType": "decimal", "precision": "4"}), "a precision"),
]


@pytest.mark.parametrize("schema", SOUND, ids=json.dumps)
def test_a_sound_schema_passes(schema: Any) -> None:
    check_schema(json.dumps(schema))


@pytest.mark.parametrize(("schema", "told"), BROKEN, ids=[json.dumps(each) for each, _ in BROKEN])
def test_what_is_wrong_with_a_schema_is_told(schema: Any, told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        check_schema(json.dumps(schema))


def test_what_is_no_json_is_told() -> None:
    with pytest.raises(SchemaError, match="expected a schema in JSON"):
        check_schema("{")
    with pytest.raises(SchemaError):
        check_schema("[" * 100_000)
    with pytest.raises(SchemaError):
        check_schema('{"type":' * 500 + '"int"' + "}" * 500)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "string"}, "string"),
        ({"fields": [], "name": "A", "type": "record"}, _record()),
        ({"type": "record", "name": "n.A", "fields": []}, _record(namespace="n")),
        (_field("A", order="ascending", aliases=[]), _field("A")),
        (
            _field({"type": "enum", "name": "E", "symbols": ["a"]}) | {"namespace": "n"},
            _field({"type": "enum", "name": "n.E", "symbols": ["a"]}) | {"name": "n.A"},
        ),
    ],
)
def test_two_spellings_of_a_schema_are_the_same(one: Any, other: Any) -> None:
    assert same_text(json.dumps(one, indent=2)) == same_text(json.dumps(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (_record(doc="a"), _record(doc="b")),
        (_field("int"), _field("long")),
        (_field("int", default=1), _field("int")),
        (_record(namespace="a"), _record(namespace="b")),
    ],
)
def test_two_schemas_that_differ_are_not_the_same(one: Any, other: Any) -> None:
    assert same_text(json.dumps(one)) != same_text(json.dumps(other))
