"""JSON in columns and JSON value by value are the same JSON."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any
from uuid import UUID

import polars as pl
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vagus.events import BytesColumn, Event, JsonCodec, RecordSchema
from vagus.events.jsonplain import PlainJson


class Mood(Enum):
    CALM = "calm"
    TRUE = "true"


class Plain(Event):
    text: str
    whole: int
    real: float
    flag: bool
    at: datetime
    day: date
    money: Annotated[Decimal, pydantic.Field(max_digits=6, decimal_places=2)]
    id: UUID
    mood: Mood
    note: str | None = None
    count: int | None
    rest: int = 7


SCHEMA = RecordSchema.of(Plain)
_INSTANTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=UTC)
)
_EVENTS = st.builds(
    Plain,
    text=st.text(),
    whole=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False, allow_infinity=False),
    flag=st.booleans(),
    at=_INSTANTS | _INSTANTS.map(lambda at: at.replace(microsecond=0)),
    day=st.dates(date(1, 1, 3), date(9999, 12, 29)),
    money=st.integers(-999_999, 999_999).map(lambda cents: Decimal(cents).scaleb(-2)),
    id=st.uuids(),
    mood=st.sampled_from(Mood),
    note=st.none() | st.text(max_size=3),
    count=st.none() | st.integers(0, 9),
    rest=st.integers(0, 9),
)
_ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.sampled_from(
        [
            *("calm", "true", "1", "1.5", "12345.6", "-0.25", "2024-01-01", "2024-01-01T00:00:00"),
            *("2024-01-01T00Z", "2024-01-01T00:00Z", "2024-01-01T00:00:00+0100", "0000-01-01"),
            *("2024-01-01T00:00:00.1234567Z", "2024-01-01T23:59:60Z", "2024-02-30T00:00:00Z"),
            *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "2024-1-1", "\ud800"),
            *("00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000a"),
        ]
    ),
    st.just([]),
    st.just({"a": 1}),
)


def _careful() -> JsonCodec:
    codec = JsonCodec([SCHEMA], "t")
    codec._plain = {SCHEMA.name: None}
    return codec


def _read(codec: JsonCodec, values: list[bytes | None]) -> tuple[Any, ...]:
    found = codec.decode(BytesColumn(values))
    return found.frame.to_dicts(), found.frame.schema, found.tombstones.tolist(), found.errors


def test_a_plain_batch_is_read_and_written_in_columns() -> None:
    plain = PlainJson.of(SCHEMA)
    event = Plain(
        text="é\n", whole=1, real=2.0, flag=True, at=datetime(2024, 1, 1, tzinfo=UTC),
        day=date(2024, 1, 1), money=Decimal("1.50"), id=UUID(int=1), mood=Mood.TRUE, count=2,
    )  # fmt: skip
    frame = Plain.to_frame([event])
    assert plain is not None
    values = plain.encode(frame, {})
    assert values is not None
    assert json.loads(values.to_list()[0] or b"") == json.loads(event.model_dump_json())
    columns = plain.decode(values.to_list())
    assert columns is not None
    assert pl.DataFrame(columns).equals(frame)


@settings(deadline=None)
@given(st.lists(_EVENTS, max_size=5))
def test_both_ways_write_the_same_and_read_what_was_written(events: list[Plain]) -> None:
    frame = Plain.to_frame(events)
    quick, careful = JsonCodec([SCHEMA], "t"), _careful()
    values = quick.encode(frame).to_list()
    assert list(map(_loaded, values)) == list(map(_loaded, careful.encode(frame).to_list()))
    assert _read(quick, values) == _read(careful, values)
    assert quick.decode(BytesColumn(values)).frame.drop("_row").equals(frame)


def _loaded(value: bytes | None) -> Any:
    return json.loads(value or b"")


@settings(deadline=None, max_examples=400)
@given(st.lists(_EVENTS, min_size=1, max_size=3), st.data())
def test_both_ways_find_the_same_wrong(events: list[Plain], data: st.DataObject) -> None:
    values: list[bytes | None] = []
    for event in events:
        members = json.loads(event.model_dump_json())
        name = data.draw(st.sampled_from([*members, "other"]))
        if data.draw(st.booleans()):
            members[name] = data.draw(_ANYTHING)
        elif data.draw(st.booleans()):
            members.pop(name, None)
        ascii_only, indent = data.draw(st.booleans()), data.draw(st.sampled_from([None, None, 1]))
        text = json.dumps(members, ensure_ascii=ascii_only, indent=indent)
        values.append(text.encode(errors="surrogatepass"))
    assert _read(JsonCodec([SCHEMA], "t"), values) == _read(_careful(), values)


@pytest.mark.parametrize(
    "odd",
    [
        [b"{}", b"{}"], [b"", b"{}\n{}"], [b"{}{}", b""], [b"{}\n{}", b" ", b"{}"], [b"{}\n{}"],
        [b"{}", b""], [b"[]"], [b"null"], [b'{"a":1}\n'], [b"{}\n{}", b"", b"", b"{}\n{}"],
        [b'{"a":{}', b"{}"], [b'{"a":"x}', b'{"}'], [b"\xff"], [None, b"{}", None],
    ],
)  # fmt: skip
def test_values_are_never_taken_for_more_or_fewer_than_they_are(odd: list[bytes | None]) -> None:
    class Loose(Event):
        a: int | None = None

    schema = RecordSchema.of(Loose)
    careful = JsonCodec([schema], "t")
    careful._plain = {schema.name: None}
    assert _read(JsonCodec([schema], "t"), odd) == _read(careful, odd)
