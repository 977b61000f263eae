"""Events written with an older schema are read as the newest one."""

from __future__ import annotations

import copy
import io
import json
from typing import Annotated, Any, Literal

import fastavro
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.events.strategies import schemas_and_values
from vagus.errors import IncompatibleSchema
from vagus.events import (
    Aliases,
    AvroCodec,
    BytesColumn,
    Event,
    MemoryRegistry,
    RecordSchema,
    check_compatibility,
)

_PROMOTIONS = {
    "int": ["long", "double"],
    "long": ["double"],
    "float": ["double"],
    "string": ["bytes"],
}
_NEW: list[dict[str, Any]] = [
    {"type": "string", "default": "x"},
    {"type": ["null", "long"], "default": None},
    {"type": {"type": "array", "items": "long"}, "default": [1, 2]},
    {"type": {"type": "map", "values": "string"}, "default": {"a": "b"}},
    {
        "type": {
            "type": "record",
            "name": "New",
            "fields": [{"name": "a", "type": "double"}, {"name": "b", "type": "string"}],
        },
        "default": {"a": 1.5, "b": "c"},
    },
    {"type": "bytes", "default": "\u00ff"},
]


def _changed(draw: Any, kind: Any) -> Any:
    """The type, with changes that may or may not be compatible."""
    if isinstance(kind, str):
        return draw(st.sampled_from([kind, kind, *_PROMOTIONS.get(kind, [])]))
    if isinstance(kind, list):
        return [each if each == "null" else _changed(draw, each) for each in kind]
    kind = dict(kind)
    if kind["type"] == "array":
        kind["items"] = _changed(draw, kind["items"])
    elif kind["type"] == "map":
        kind["values"] = _changed(draw, kind["values"])
    elif kind["type"] == "enum":
        how = draw(st.integers(0, 3))
        if how == 1:
            kind["symbols"] = [*kind["symbols"], "Z"]
        elif how == 2:
            kind |= {"symbols": ["Q", *kind["symbols"][1:]], "default": "Q"}
        elif how == 3:
            kind["symbols"] = [*kind["symbols"][1:], "Z"]
    elif kind["type"] == "record":
        fields = []
        for part in kind["fields"]:
            how = draw(st.integers(0, 5))
            if how == 0:
                continue
            part = {**part, "type": _changed(draw, part["type"])}
            if how == 1:
                part |= {"name": f"{part['name']}_new", "aliases": [part["name"]]}
            if how == 2 and not isinstance(part["type"], list):
                part["type"] = ["null", part["type"]]
            fields.append(part)
        fields = draw(st.permutations(fields))
        kind["fields"] = [*fields] or kind["fields"]
    return kind


@st.composite
def _evolutions(draw: Any) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    writer, values = draw(schemas_and_values())
    reader = _changed(draw, copy.deepcopy(writer))
    if draw(st.booleans()):
        reader["fields"].append({"name": "added", **draw(st.sampled_from(_NEW))})
    return writer, reader, values


def _write(schema: dict[str, Any], value: Any) -> bytes:
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, fastavro.parse_schema(copy.deepcopy(schema)), value)
    return stream.getvalue()


@settings(deadline=None, max_examples=200, suppress_health_check=list(HealthCheck))
@given(_evolutions())
def test_what_is_called_compatible_can_be_read_by_fastavro_and_alike_in_columns(
    case: tuple[dict[str, Any], dict[str, Any], list[Any]],
) -> None:
    writer, reader, values = case
    try:
        check_compatibility(json.dumps(reader), [json.dumps(writer)], "BACKWARD")
    except IncompatibleSchema:
        assume(False)
    data = [_write(writer, value) for value in values]
    registry = MemoryRegistry()
    schema_id = registry.register("t-value", json.dumps(writer))
    head = b"\0" + schema_id.to_bytes(4, "big")
    old = fastavro.parse_schema(copy.deepcopy(writer))
    new = fastavro.parse_schema(copy.deepcopy(reader))
    resolved = [
        fastavro.schemaless_reader(io.BytesIO(each), old, new, return_record_name=True)
        for each in data
    ]
    if reader["fields"][-1] == {"name": "added", **_NEW[-1]}:
        for record in resolved:  # fastavro gives a default of bytes as the text that it was
            record["added"] = record["added"].encode("latin-1")
    codec = AvroCodec([RecordSchema.parse(json.dumps(reader))], registry, "t")
    decoded = codec.decode(BytesColumn([head + each for each in data]))
    assert decoded.errors == []
    # Written again with the reader's schema both give the same bytes, whatever their form.
    expected = [_write(reader, value) for value in resolved]
    if codec.schema.fast:
        again = codec.encode(decoded.frame).to_list()
        assert [each[5:] for each in again if each] == expected


class _V1(Event):
    bus: str
    speed: int
    gone: bool = True
    state: Literal["on", "off"] = "on"


def _round(old: type[Event], events: list[Any], new: type[Event]) -> list[Any]:
    registry = MemoryRegistry()
    old_schema = RecordSchema.of(old)
    values = AvroCodec([old_schema], registry, "t").encode(old.to_frame(events))
    decoded = AvroCodec([RecordSchema.of(new)], registry, "t").decode(values)
    assert decoded.errors == []
    return new.from_frame(decoded.frame)


def test_an_old_event_is_read_as_the_newest_class() -> None:
    class V2(Event, aliases=("_V1",)):
        speed_kmh: Annotated[float, Aliases("speed")]
        bus: str
        tags: list[str] = ["none"]  # noqa: RUF012
        note: str | None = None

    (event,) = _round(_V1, [_V1(bus="17", speed=40)], V2)
    assert event == V2(speed_kmh=40.0, bus="17", tags=["none"], note=None)


def test_events_of_several_versions_in_one_batch_are_read_in_order() -> None:
    class V2(Event, aliases=("_V1",)):
        bus: str
        extra: int = 7

    registry = MemoryRegistry()
    old = AvroCodec([RecordSchema.of(_V1)], registry, "t")
    new = AvroCodec([RecordSchema.of(V2)], registry, "t")
    first = old.encode(_V1.to_frame([_V1(bus="a", speed=1), _V1(bus="c", speed=1)])).to_list()
    second = new.encode(V2.to_frame([V2(bus="b", extra=1), V2(bus="d", extra=2)])).to_list()
    mixed = BytesColumn([first[0], second[0], None, first[1], second[1]])
    decoded = new.decode(mixed)
    assert decoded.frame["_row"].to_list() == [0, 1, 3, 4]
    assert decoded.frame["bus"].to_list() == ["a", "b", "c", "d"]
    assert decoded.frame["extra"].to_list() == [7, 1, 7, 2]


def test_a_symbol_that_the_reader_lacks_makes_only_its_own_value_bad() -> None:
    writer = RecordSchema.parse(
        '{"type":"record","name":"R","fields":[{"name":"e","type":'
        '{"type":"enum","name":"E","symbols":["A","B"]}}]}'
    )
    reader = RecordSchema.parse(writer.json.replace('"A","B"', '"A"'))
    registry = MemoryRegistry()
    registry.set_level(None, "NONE")
    import polars as pl

    values = AvroCodec([writer], registry, "t").encode(pl.DataFrame({"e": ["A", "B", "A"]}))
    decoded = AvroCodec([reader], registry, "t").decode(values)
    assert decoded.frame["_row"].to_list() == [0, 2]
    assert [(bad.row, "expected one of A" in bad.error) for bad in decoded.errors] == [(1, True)]


def _schema(*fields: str) -> str:
    return '{"type":"record","name":"Bus","fields":[' + ",".join(fields) + "]}"


_X = '{"name":"x","type":"long"}'


@pytest.mark.parametrize(
    ("old", "new", "level", "names"),
    [
        ("", _X, "BACKWARD", ["Bus.x", "no default", "give it a default"]),
        (_X, "", "FORWARD", ["Bus.x", "keep the field"]),
        (_X, '{"name":"x","type":"string"}', "BACKWARD", ["Bus.x", "long", "string"]),
        ('{"name":"x","type":["null","long"]}', _X, "BACKWARD", ["Bus.x", "null", "Optional"]),
        ("", _X, "FULL", ["Bus.x"]),
    ],
)
def test_an_incompatible_schema_is_refused_with_field_and_remedy(
    old: str, new: str, level: Any, names: list[str]
) -> None:
    with pytest.raises(IncompatibleSchema) as raised:
        check_compatibility(
            _schema(new) if new else _schema(), [_schema(old) if old else _schema()], level
        )
    assert all(name in str(raised.value) for name in names)


def test_only_a_transitive_level_looks_at_all_versions() -> None:
    one = _schema(_X)
    two = _schema('{"name":"x","type":"long","default":0}')
    three = _schema('{"name":"x","type":"string","default":""}')
    with pytest.raises(IncompatibleSchema):
        check_compatibility(three, [one, _schema()], "BACKWARD_TRANSITIVE")
    check_compatibility(three, [one, _schema()], "BACKWARD")
    check_compatibility(two, [one], "FULL_TRANSITIVE")


def test_a_class_without_the_field_is_compatible_backward_but_not_forward() -> None:
    check_compatibility(_schema(), [_schema(_X)], "BACKWARD")
    with pytest.raises(IncompatibleSchema):
        check_compatibility(_schema(), [_schema(_X)], "FORWARD")
