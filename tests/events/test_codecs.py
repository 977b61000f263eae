"""What Avro and JSON codecs promise alike, and what each does on its own."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

import polars as pl
import pydantic
import pytest

from vagus.errors import DeclarationError, EncodeError
from vagus.events import (
    AvroCodec,
    BytesColumn,
    Event,
    Field,
    JsonCodec,
    MemoryRegistry,
    RecordSchema,
)


class Placed(Event):
    order: str
    lines: int = 1


class Paid(Event):
    order: str
    amount: Annotated[Decimal, pydantic.Field(max_digits=6, decimal_places=2)]


class State(Event):
    state: Literal["on", "off"]
    note: str | None = None


def _codec(form: str, *types: type[Event]) -> Any:
    schemas = [RecordSchema.of(each) for each in types]
    if form == "avro":
        return AvroCodec(schemas, MemoryRegistry(), "t")
    return JsonCodec(schemas, "t")


both = pytest.mark.parametrize("form", ["avro", "json"])

_MIXED = pl.DataFrame(
    {
        "_type": ["Placed", "Paid", "Placed", "Paid"],
        "order": ["a", "a", "b", "b"],
        "lines": [2, None, 3, None],
        "amount": pl.Series(
            [None, Decimal("1.50"), None, Decimal("-2.25")], dtype=pl.Decimal(6, 2)
        ),
    }
)


@both
def test_several_types_share_a_topic_in_order(form: str) -> None:
    codec = _codec(form, Placed, Paid)
    decoded = codec.decode(codec.encode(_MIXED))
    assert decoded.frame.drop("_row").select(_MIXED.columns).equals(_MIXED)


@both
def test_a_bad_row_of_several_types_is_named_by_its_place_in_the_frame(form: str) -> None:
    frame = _MIXED.with_columns(order=pl.Series(["a", "a", "b", None]))
    with pytest.raises(EncodeError, match="order") as raised:
        _codec(form, Placed, Paid).encode(frame)
    assert raised.value.rows == [3]


@both
def test_a_type_that_the_topic_has_not_is_refused(form: str) -> None:
    with pytest.raises(EncodeError, match="expected one of Placed, Paid, got 'Lost'"):
        _codec(form, Placed, Paid).encode(_MIXED.with_columns(_type=pl.lit("Lost")))


def test_types_that_disagree_about_a_column_are_refused() -> None:
    class Wrong(Event):
        order: int

    with pytest.raises(DeclarationError, match=r"t\.order"):
        _codec("avro", Placed, Wrong)


def test_each_type_of_a_topic_has_a_subject_of_its_own() -> None:
    registry = MemoryRegistry()
    schemas = [RecordSchema.of(Placed), RecordSchema.of(Paid)]
    AvroCodec(schemas, registry, "t").encode(_MIXED)
    AvroCodec(schemas[:1], registry, "u").encode(pl.DataFrame({"order": ["a"]}))
    assert registry.subjects() == ["t-Paid", "t-Placed", "u-value"]


@both
def test_null_values_are_tombstones(form: str) -> None:
    codec = _codec(form, State)
    one, two = codec.encode(pl.DataFrame({"state": ["on", "off"], "note": [None, "x"]})).to_list()
    decoded = codec.decode(BytesColumn([None, one, None, two]))
    assert decoded.tombstones.tolist() == [0, 2]
    assert decoded.frame.to_dicts() == [
        {"_row": 1, "state": "on", "note": None},
        {"_row": 3, "state": "off", "note": "x"},
    ]


@both
def test_an_empty_batch_is_read_and_written(form: str) -> None:
    for types in ((State,), (Placed, Paid)):
        codec = _codec(form, *types)
        decoded = codec.decode(BytesColumn([]))
        assert decoded.frame.height == 0
        assert dict(decoded.frame.schema).items() >= dict(codec.columns).items()
        assert len(codec.encode(decoded.frame.drop("_row"), name=types[0].__name__)) == 0


@both
@pytest.mark.parametrize(
    ("frame", "rows", "says"),
    [
        (pl.DataFrame({"state": ["on", None]}), [1], "state"),
        (pl.DataFrame({"state": ["on", "of", "off"]}), [1], "expected one of on, off"),
        (pl.DataFrame({"stat": ["on"]}), [], "did you mean 'stat'"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_rows(
    form: str, frame: pl.DataFrame, rows: list[int], says: str
) -> None:
    with pytest.raises(EncodeError, match=says) as raised:
        _codec(form, State).encode(frame)
    assert raised.value.rows == rows


def test_a_number_out_of_range_is_refused_with_its_row() -> None:
    schema = RecordSchema.parse('{"type":"record","name":"R","fields":[{"name":"n","type":"int"}]}')
    codec = AvroCodec([schema], MemoryRegistry(), "t")
    with pytest.raises(EncodeError) as raised:
        codec.encode(pl.DataFrame({"n": [1, 2**31, -5]}))
    assert raised.value.rows == [1]


def test_a_decimal_too_large_is_refused_with_its_row() -> None:
    frame = pl.DataFrame(
        {"order": ["a", "b"], "amount": pl.Series([Decimal("9999.99"), Decimal("10000.00")])}
    )
    with pytest.raises(EncodeError) as raised:
        _codec("avro", Paid).encode(frame)
    assert raised.value.rows == [1]


@both
@pytest.mark.parametrize(
    ("column", "values", "rows"),
    [
        ("lines", [1.0, 1.5, float("nan"), None], [1, 2]),
        ("lines", [1, 2**63, 3], [1]),
        ("amount", [Decimal("1.500"), Decimal("1.505")], [1]),
    ],
)
def test_digits_are_never_cut_off(
    form: str, column: str, values: list[Any], rows: list[int]
) -> None:
    class Line(Event):
        lines: int | None = None
        amount: Annotated[Decimal | None, pydantic.Field(max_digits=6, decimal_places=2)] = None

    frame = pl.DataFrame({column: values}, strict=False)
    with pytest.raises(EncodeError, match="cast the column yourself") as raised:
        _codec(form, Line).encode(frame)
    assert raised.value.rows == rows


@both
def test_digits_in_lists_are_not_cut_off_either(form: str) -> None:
    class Lines(Event):
        lines: list[int]

    codec = _codec(form, Lines)
    with pytest.raises(EncodeError) as raised:
        codec.encode(pl.DataFrame({"lines": [[1.0], [2.0, 2.5]]}))
    assert raised.value.rows == [1]
    assert codec.decode(codec.encode(pl.DataFrame({"lines": [[1.0, 2.0]]}))).frame[
        "lines"
    ].to_list() == [[1, 2]]


@both
@pytest.mark.parametrize("name", ["_row", "_type"])
def test_a_field_named_like_a_column_of_ours_is_refused(form: str, name: str) -> None:
    schema = RecordSchema.build("R", [Field.of(name, pl.String())])
    with pytest.raises(DeclarationError, match="rename the field"):
        AvroCodec([schema], MemoryRegistry(), "t") if form == "avro" else JsonCodec([schema], "t")


def test_fields_may_have_the_names_of_the_framing() -> None:
    schema = RecordSchema.build(
        "R", [Field.of(name, pl.Int64()) for name in ("id", "_id", "magic", "c0")]
    )
    codec = AvroCodec([schema], MemoryRegistry(), "t")
    frame = pl.DataFrame({"id": [1, 2], "_id": [2, None], "magic": [3, 4], "c0": [5, 6]})
    assert codec.decode(codec.encode(frame)).frame.drop("_row").equals(frame)


@both
def test_a_frame_of_several_types_may_be_empty(form: str) -> None:
    codec = _codec(form, Placed, Paid)
    assert codec.encode(_MIXED.clear()).to_list() == []


def test_json_that_has_no_form_for_a_year_is_refused() -> None:
    schema = RecordSchema.build("R", [Field.of("at", pl.Datetime("us", "UTC"))])
    with pytest.raises(EncodeError, match="1 to 9999"):
        JsonCodec([schema], "t").encode(pl.DataFrame({"at": [2**62]}))


def test_a_datetime_column_without_zone_is_refused() -> None:
    schema = RecordSchema.parse(
        '{"type":"record","name":"R","fields":[{"name":"at","type":'
        '{"type":"long","logicalType":"timestamp-micros"}}]}'
    )
    naive = pl.DataFrame({"at": pl.Series([0]).cast(pl.Datetime("us"))})
    with pytest.raises(EncodeError, match="replace_time_zone"):
        AvroCodec([schema], MemoryRegistry(), "t").encode(naive)


def test_a_slice_of_a_frame_is_written_like_a_copy_of_it() -> None:
    frame = pl.DataFrame({"state": ["on", "off"] * 50, "note": [None, "x", "yy", None] * 25})
    codec = _codec("avro", State)
    whole = codec.encode(frame).to_list()
    assert codec.encode(frame.slice(37, 20)).to_list() == whole[37:57]


def test_a_slice_of_values_is_read_like_a_copy_of_it() -> None:
    frame = pl.DataFrame({"state": ["on", "off"] * 50, "note": [None, "x", "yy", None] * 25})
    codec = _codec("avro", State)
    part = codec.encode(frame).slice(37, 57)
    mixed = BytesColumn([*part.to_list(), b""])
    assert codec.decode(part).frame.drop("_row").equals(frame.slice(37, 20))
    assert codec.decode(mixed).frame.drop("_row").equals(frame.slice(37, 20))


@pytest.mark.parametrize("schema_id", [0x807F, 0x80FF, 0x7F, 0xFFFF, 0x1FF80FF])
def test_an_id_that_looks_like_no_number_as_a_float_is_kept(schema_id: int) -> None:
    schema = RecordSchema.of(State)

    class Fixed(MemoryRegistry):
        def register(self, subject: str, schema_json: str) -> int:
            self._schemas[schema_id] = schema_json
            return schema_id

    codec = AvroCodec([schema], Fixed(), "t")
    values = codec.encode(pl.DataFrame({"state": ["on"]}))
    assert (values.to_list()[0] or b"")[:5] == b"\0" + schema_id.to_bytes(4, "big")
    assert codec.decode(values).frame["state"].to_list() == ["on"]


def test_an_unknown_schema_id_makes_its_values_bad_until_it_is_known() -> None:
    registry = MemoryRegistry()
    codec = AvroCodec([RecordSchema.of(State)], registry, "t")
    value = b"\0\0\0\0\1\0\0"
    decoded = codec.decode(BytesColumn([value]))
    assert [(bad.row, bad.value) for bad in decoded.errors] == [(0, value)]
    assert "got 1" in decoded.errors[0].error
    registry.register("t-value", RecordSchema.of(State).json)
    assert codec.decode(BytesColumn([value])).errors == []


def test_json_that_does_not_fit_is_set_apart_with_its_reason() -> None:
    codec = _codec("json", State)
    good = b'{"state":"on","more":1}'
    bad = [b"{}", b"x", b'{"state":"of"}', b'{"state":"on"},{"state":"off"}', b"", b"[]"]
    decoded = codec.decode(BytesColumn([good, *bad, good]))
    assert decoded.frame["_row"].to_list() == [0, len(bad) + 1]
    assert [error.value for error in decoded.errors] == bad
    assert "state" in decoded.errors[0].error


def test_two_json_values_in_one_are_not_taken_for_two() -> None:
    codec = _codec("json", State)
    one = b'{"state":"on"}'
    decoded = codec.decode(BytesColumn([one, one + b"," + one]))
    assert [error.row for error in decoded.errors] == [1]


def test_json_tells_types_apart_by_a_member() -> None:
    codec = _codec("json", Placed, Paid)
    assert codec.encode(_MIXED).to_list()[0] == b'{"type":"Placed","order":"a","lines":2}'


def test_a_field_named_type_is_refused_in_json_of_several_types() -> None:
    class Typed(Event):
        type: str

    with pytest.raises(DeclarationError, match="named 'type'"):
        _codec("json", Typed, Placed)


def test_json_writes_no_number_that_json_has_not() -> None:
    class Speed(Event):
        kmh: float

    with pytest.raises(EncodeError, match="finite") as raised:
        _codec("json", Speed).encode(pl.DataFrame({"kmh": [1.0, float("nan"), float("inf")]}))
    assert raised.value.rows == [1, 2]


def test_columns_of_lists_stay_lists_until_arrow_is_asked_for() -> None:
    whole = BytesColumn.concat([BytesColumn([b"a", None]), BytesColumn([b"bc"])])
    part = whole.slice(1, 3)
    assert (whole.nbytes, part.nbytes, part.null_count) == (3, 2, 1)
    assert part.to_list() == [None, b"bc"]
    assert whole.to_arrow().to_pylist() == [b"a", None, b"bc"]
    assert BytesColumn.concat([whole, part]).to_list() == [b"a", None, b"bc", None, b"bc"]
