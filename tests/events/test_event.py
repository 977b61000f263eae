"""Event classes: which fields they may have, and their way into frames and back."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import polars as pl
import pydantic
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypeAliasType

from vagus.errors import DeclarationError, DecodeError
from vagus.events import AvroCodec, Event, JsonCodec, MemoryRegistry, RecordSchema
from vagus.events import Field as Column

Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    at: datetime | None = None


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"
    amount: Money


Payment = Annotated[Card | Cash, Field(discriminator="kind")]


class Everything(Event):
    text: str
    whole: int = 3
    real: float = 1.5
    flag: bool
    raw: bytes = b"\xff\x00"
    at: datetime
    day: date = date(2020, 1, 2)
    clock: time
    span: timedelta
    money: Money = Decimal("1.50")
    wide: Decimal = Field(max_digits=38, decimal_places=10)
    id: UUID
    colour: Colour = Colour.RED
    odd: Literal["on-time", "late"] = "late"
    maybe: str | None = None
    perhaps: Optional[int] = 5  # noqa: UP045 (the old spelling is supported as well)
    numbers: list[int | None] = []  # noqa: RUF012
    amounts: list[Money]
    points: dict[str, Point]
    point: Point = Point(x=1)
    paid: Payment
    refund: Payment | None = None
    history: list[Payment] = []  # noqa: RUF012


def _everything(**changes: Any) -> Everything:
    fields: dict[str, Any] = {
        "text": "héllo",
        "flag": True,
        "at": datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=UTC),
        "clock": time(23, 59, 59, 999_999),
        "span": timedelta(days=-3, microseconds=7),
        "wide": Decimal("-1234567890123456789012345678.0123456789"),
        "id": UUID(int=2**127 + 5),
        "amounts": [Decimal("-0.01"), Decimal("9999999999.99")],
        "points": {"a": Point(x=4), "b": Point(x=-1, at=datetime(1960, 1, 1, tzinfo=UTC))},
        "paid": Cash(amount=Decimal("-1.25")),
    }
    return Everything(**{**fields, **changes})


EVENTS = [
    _everything(),
    _everything(refund=Card(number="7"), numbers=[1, None], colour=Colour.BLUE, points={}),
    _everything(paid=Card(number="8"), history=[Cash(amount=Decimal(3)), Card(number="9")]),
]


def test_events_survive_a_frame() -> None:
    assert Everything.from_frame(Everything.to_frame(EVENTS)) == EVENTS


@pytest.mark.parametrize("form", ["avro", "json"])
def test_events_survive_the_wire(form: str) -> None:
    schema = RecordSchema.of(Everything)
    codec: Any = (
        AvroCodec([schema], MemoryRegistry(), "t") if form == "avro" else JsonCodec([schema], "t")
    )
    decoded = codec.decode(codec.encode(Everything.to_frame(EVENTS)))
    assert decoded.errors == []
    assert Everything.from_frame(decoded.frame) == EVENTS


def test_the_frame_has_the_types_that_the_fields_say() -> None:
    columns = RecordSchema.of(Everything).columns
    point = pl.Struct({"x": pl.Int64(), "at": pl.Datetime("us", "UTC")})
    paid = pl.Struct(
        {
            "card": pl.Struct({"kind": pl.String(), "number": pl.String()}),
            "cash": pl.Struct({"kind": pl.String(), "amount": pl.Decimal(12, 2)}),
        }
    )
    assert columns["clock"] == pl.Time()
    assert columns["span"] == pl.Duration("us")
    assert columns["wide"] == pl.Decimal(38, 10)
    assert columns["points"] == pl.List(pl.Struct({"key": pl.String(), "value": point}))
    assert columns["paid"] == paid
    assert Everything.to_frame(EVENTS).schema == columns


def test_the_schema_of_a_class_can_be_parsed_to_the_same_columns() -> None:
    schema = RecordSchema.of(Everything)
    assert RecordSchema.parse(schema.json).columns == schema.columns


def test_a_schema_built_of_fields_of_two_classes_reads_what_it_writes() -> None:
    class Other(Event):
        point: Point
        fee: Money

    fields = [
        *(RecordSchema.of(Everything).fields[name] for name in ("paid", "money", "points")),
        *RecordSchema.of(Other).fields.values(),
        Column.of("n", pl.UInt32()),
    ]
    schema = RecordSchema.build("Joined", fields)
    frame = Everything.to_frame(EVENTS).select("paid", "money", "points", "point")
    frame = frame.with_columns(fee=pl.col("money"), n=pl.lit(7, pl.UInt32))
    codec = AvroCodec([schema], MemoryRegistry(), "t")
    read = codec.decode(codec.encode(frame)).frame.drop("_row")
    assert read.equals(frame.with_columns(pl.col("n").cast(pl.Int64)))


def test_an_alias_of_a_type_is_the_type() -> None:
    alias = TypeAliasType("alias", Money)

    class Fee(Event):
        amount: alias  # type: ignore[valid-type]

    assert RecordSchema.of(Fee).columns == {"amount": pl.Decimal(12, 2)}


class _IntEnum(Enum):
    ONE = 1


@pytest.mark.parametrize(
    ("kind", "instead"),
    [
        (Any, "nested model"),
        (int | str, "tagged union"),
        (set[int], "list[T]"),
        (tuple[int, str], "nested model"),
        (list, "list[T], with the type"),
        (dict[int, str], "dict[str, T]"),
        (Decimal, "max_digits=12"),
        (complex, "two floats"),
        (_IntEnum, "values are text"),
        (Literal[1, 2], "values are text"),
    ],
)
def test_an_unsupported_type_is_refused_with_field_and_remedy(kind: Any, instead: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        type("Wrong", (Event,), {"__annotations__": {"field": kind}, "__module__": __name__})
    assert raised.value.where == "Wrong.field"
    assert instead in str(raised.value)


def test_a_private_name_is_refused() -> None:
    with pytest.raises(DeclarationError, match="without a leading underscore"):

        class Wrong(Event):
            _hidden: int = 1


def test_a_datetime_without_a_zone_is_refused_with_a_hint() -> None:
    class Tick(Event):
        at: datetime

    with pytest.raises(pydantic.ValidationError, match="with a time zone, such as"):
        Tick(at=datetime(2024, 1, 1))  # noqa: DTZ001


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    class Tick(Event):
        at: datetime

    tick = Tick(at=datetime(2024, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert Tick.from_frame(Tick.to_frame([tick])) == [tick]


def test_an_event_is_frozen_and_takes_no_unknown_fields() -> None:
    class Ping(Event):
        host: str

    with pytest.raises(pydantic.ValidationError):
        Ping(host="a", other=1)  # type: ignore[call-arg]
    with pytest.raises(pydantic.ValidationError):
        Ping(host="a").host = "b"  # type: ignore[misc]


def test_a_frame_that_makes_no_valid_event_is_refused_with_its_row() -> None:
    class Ping(Event):
        host: str

    with pytest.raises(DecodeError, match="row 1"):
        Ping.from_frame(pl.DataFrame({"host": ["a", None]}))
    with pytest.raises(DecodeError, match="did you mean 'hosts'"):
        Ping.from_frame(pl.DataFrame({"hosts": ["a"]}))


def test_an_event_without_fields_can_be_written() -> None:
    class Beat(Event):
        pass

    codec = AvroCodec([RecordSchema.of(Beat)], MemoryRegistry(), "t")
    frame = pl.DataFrame({"_seq": [0, 1]})
    decoded = codec.decode(codec.encode(frame))
    assert decoded.frame["_row"].to_list() == [0, 1]


def test_declaring_events_imports_nothing_heavy() -> None:
    code = (
        "import sys, vagus.events as e\n"
        "class A(e.Event):\n    x: int\n"
        "print([m for m in ('polars', 'pyarrow', 'fastavro', 'pyruhvro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
