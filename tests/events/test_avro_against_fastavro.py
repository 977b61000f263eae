"""The codec in columns and fastavro, one value at a time, agree on generated schemas and data."""

from __future__ import annotations

import io
import json
from typing import Any
from unittest import mock

import fastavro
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.events.strategies import plain_schemas_and_values, schemas_and_values
from vagus.events import AvroCodec, BytesColumn, MemoryRegistry, RecordSchema, rowwriter
from vagus.events.scan import suspects

_SLOW = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))


def _written(schema: dict[str, Any], schema_id: int, values: list[dict[str, Any]]) -> list[bytes]:
    parsed = fastavro.parse_schema(json.loads(json.dumps(schema)))
    result = []
    for value in values:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed, value)
        result.append(b"\0" + schema_id.to_bytes(4, "big") + stream.getvalue())
    return result


def _expected(kind: Any, value: Any) -> Any:
    """A value as a frame holds it."""
    if value is None:
        return None
    if isinstance(kind, list):
        others = [each for each in kind if each != "null"]
        if len(others) == 1:
            return _expected(others[0], value)
        name, inner = value
        return {
            each["name"]: _expected(each, inner) if each["name"] == name else None
            for each in others
        }
    if isinstance(kind, dict):
        if kind["type"] == "record":
            return {
                part["name"]: _expected(part["type"], value[part["name"]])
                for part in kind["fields"]
            }
        if kind["type"] == "array":
            return [_expected(kind["items"], each) for each in value]
        if kind["type"] == "map":
            return [
                {"key": key, "value": _expected(kind["values"], each)}
                for key, each in value.items()
            ]
        if kind.get("logicalType") == "uuid":
            return str(value)
    return value


def _codec(schema: dict[str, Any]) -> tuple[AvroCodec, int]:
    registry = MemoryRegistry()
    parsed = RecordSchema.parse(json.dumps(schema))
    schema_id = registry.register("t-value", parsed.json)
    return AvroCodec([parsed], registry, "t"), schema_id


@_SLOW
@given(schemas_and_values())
def test_what_fastavro_writes_is_read_alike(case: tuple[dict[str, Any], list[Any]]) -> None:
    schema, values = case
    codec, schema_id = _codec(schema)
    decoded = codec.decode(BytesColumn(_written(schema, schema_id, values)))
    assert decoded.errors == []
    assert decoded.frame.drop("_row").to_dicts() == [_expected(schema, value) for value in values]


@_SLOW
@given(schemas_and_values())
def test_what_is_written_has_the_bytes_that_fastavro_writes(
    case: tuple[dict[str, Any], list[Any]],
) -> None:
    schema, values = case
    codec, schema_id = _codec(schema)
    if not codec.schema.fast:
        return  # a fixed of odd size can be read only
    rows = [_expected(schema, value) for value in values]
    frame = pl.DataFrame(rows, schema=codec.columns)
    assert codec.encode(frame).to_list() == _written(schema, schema_id, values)


@_SLOW
@given(plain_schemas_and_values(), st.sampled_from([0, rowwriter.FEW]))
def test_rows_written_one_by_one_and_in_columns_have_these_bytes(
    case: tuple[dict[str, Any], list[Any]], few: int
) -> None:
    schema, values = case
    codec, schema_id = _codec(schema)
    frame = pl.DataFrame(values, schema=codec.columns, height=len(values))
    with mock.patch("vagus.events.writing.FEW", few):
        assert codec.encode(frame).to_list() == _written(schema, schema_id, values)


@_SLOW
@given(schemas_and_values(), st.data())
def test_bad_values_are_set_apart_and_the_others_are_read(
    case: tuple[dict[str, Any], list[Any]], data: st.DataObject
) -> None:
    schema, values = case
    codec, schema_id = _codec(schema)
    good = _written(schema, schema_id, values)
    mixed: list[bytes | None] = list(good)
    bad = data.draw(st.sets(st.integers(0, len(good) - 1)))
    gone = data.draw(st.sets(st.integers(0, len(good) - 1))) - bad
    for row in bad:
        mixed[row] = data.draw(
            st.sampled_from(
                [b"", b"\0\0", b"\1" + good[row][1:], b"\0\0\0\xff\xff" + good[row][5:]]
            )
        )
    for row in gone:
        mixed[row] = None
    decoded = codec.decode(BytesColumn(mixed))
    kept = [row for row in range(len(good)) if row not in bad | gone]
    assert [error.row for error in decoded.errors] == sorted(bad)
    assert [error.value for error in decoded.errors] == [mixed[row] for row in sorted(bad)]
    assert decoded.tombstones.tolist() == sorted(gone)
    assert decoded.frame["_row"].to_list() == kept
    assert decoded.frame.drop("_row").to_dicts() == [_expected(schema, values[r]) for r in kept]


@_SLOW
@given(schemas_and_values(), st.data())
def test_only_values_that_are_not_whole_are_suspected(
    case: tuple[dict[str, Any], list[Any]], data: st.DataObject
) -> None:
    schema, values = case
    nodes = RecordSchema.parse(json.dumps(schema)).nodes.values()
    written = _written(schema, 1, values)
    cut = data.draw(st.sets(st.integers(0, len(written) - 1)))
    cut = {row for row in cut if len(written[row]) > 5}
    for row in cut:
        written[row] = written[row][: data.draw(st.integers(5, len(written[row]) - 1))]
    found = suspects(BytesColumn(written).to_arrow(), 5, nodes)
    assert set(found.nonzero()[0].tolist()) == cut


@_SLOW
@given(schemas_and_values(), st.randoms(use_true_random=False))
def test_damaged_bytes_never_raise_and_never_harm_their_neighbours(
    case: tuple[dict[str, Any], list[Any]], random: Any
) -> None:
    schema, values = case
    codec, schema_id = _codec(schema)
    good = _written(schema, schema_id, values)
    row = random.randrange(len(good))
    damaged = bytearray(good[row])
    for _ in range(3):
        if len(damaged) > 5:
            damaged[random.randrange(5, len(damaged))] = random.randrange(256)
    mixed = [*good[:row], bytes(damaged[: random.randrange(5, len(damaged) + 1)]), *good[row + 1 :]]
    decoded = codec.decode(BytesColumn(mixed))
    others = decoded.frame.filter(pl.col("_row") != row)
    assert others.drop("_row").to_dicts() == [
        _expected(schema, value) for place, value in enumerate(values) if place != row
    ]
    assert {error.row for error in decoded.errors} <= {row}
