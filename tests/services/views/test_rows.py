"""What a view's function does with rows."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

import vagus as vg
from tests.services.views.shop import (
    NOON,
    Customer,
    CustomerRow,
    OrderRow,
    Placed,
    Shop,
    dropped,
    paid,
    placed,
)
from vagus.errors import DeclarationError, VagusError
from vagus.services import UnknownField, rows_after


def test_put_keeps_a_row_and_update_changes_it():
    rows = rows_after(Shop().view, [placed(1), placed(2), paid(1)])
    assert [(row.order_id, row.status) for row in rows] == [("o001", "paid"), ("o002", "placed")]


def test_delete_removes_a_row_and_a_second_time_does_nothing():
    assert rows_after(Shop().view, [placed(1), dropped(1), dropped(1)]) == []


def test_the_last_row_of_a_key_counts():
    (row,) = rows_after(Shop().view, [placed(1), placed(1, note="b")])
    assert row.note == "b"


def test_get_and_where_see_what_earlier_events_of_the_batch_changed():
    seen: list[Any] = []

    def function(event: Any, rows: Any) -> None:
        seen.append(
            (
                rows.get("o001") is not None,
                [row.order_id for row in rows.where(customer_id=1, status="placed")],
                [row.order_id for row in rows.where(total_from=Decimal(1), total_to="1.5")],
            )
        )
        rows.put(
            OrderRow(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status="placed",
                total=event.total,
                placed_at=event.at,
            )
        )

    shop = Shop(function, search=[])
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(4), placed(2), placed(5)])
        h.send(shop.orders, [placed(7), placed(1, customer_id=2), placed(8)])
    assert seen == [
        (False, [], []),
        (True, ["o001"], []),
        (True, ["o001", "o004"], ["o004"]),
        (True, ["o001", "o004"], ["o004"]),
        (True, ["o001", "o004"], ["o004", "o005"]),
        (True, ["o001", "o004", "o007"], ["o004", "o005"]),
        (True, ["o004", "o007"], ["o004", "o005"]),
    ]


def test_where_works_in_batches_that_are_larger_than_it_can_look_through():
    def function(event: Any, rows: Any) -> None:
        known = len(rows.where(customer_id=event.customer_id))
        rows.put(
            OrderRow(
                order_id=event.order_id,
                customer_id=event.customer_id,
                status=str(known),
                total=event.total,
                placed_at=event.at,
            )
        )

    shop = Shop(function)
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(900)])
        statuses = [int(row.status) for row in h.queries["orders"].find(limit=1000)]
    assert statuses == [n // 3 for n in range(900)]


def test_a_row_that_is_to_be_updated_must_be_there():
    with pytest.raises(VagusError, match="expected a row with order_id='o001' to update"):
        rows_after(Shop().view, [paid(1)])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"statu": "x"}, "no field 'statu'.*did you mean 'status'"),
        ({"customer_id": "x"}, "valid integer"),
        ({"customer_id": 1 << 63}, "less than or equal"),
        ({"placed_at": NOON.replace(tzinfo=None)}, "time zone"),
        ({"order_id": "o002"}, "the key, to stay 'o001'"),
    ],
)
def test_a_wrong_update_is_refused(changes: dict[str, Any], error: str):
    def function(event: Any, rows: Any) -> None:
        if isinstance(event, Placed):
            Shop().view(event, rows)
        else:
            rows.update(event.order_id, **changes)

    with pytest.raises(VagusError, match=error):
        rows_after(Shop(function).view, [placed(1), paid(1)])


def test_a_row_of_another_class_is_refused():
    def function(event: Any, rows: Any) -> None:
        rows.put(CustomerRow(customer_id=1, name="Ada"))

    with pytest.raises(VagusError, match="expected a row of OrderRow, got CustomerRow"):
        rows_after(Shop(function).view, [placed(1)])


def test_a_key_of_another_type_is_refused():
    def function(event: Any, rows: Any) -> None:
        rows.get(7)

    with pytest.raises(VagusError, match=r"expected text .* as 'order_id', got 7"):
        rows_after(Shop(function).view, [placed(1)])


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Inner(BaseModel):
    many: list[int]


class Everything(vg.Row):
    key: UUID
    text: str
    whole: int
    number: float
    flag: bool
    raw: bytes
    moment: datetime
    day: date
    clock: time
    span: timedelta
    amount: Decimal
    colour: Colour
    level: Level
    word: Literal["a", "b"]
    inner: Inner
    several: dict[str, list[int]]
    maybe: datetime | None = None
    perhaps: Colour | None = None


EVERYTHING = Everything(
    key=UUID(int=7),
    text="ä\x00'\"",
    whole=-(1 << 63),
    number=-1.5e300,
    flag=True,
    raw=b"\x00\xff",
    moment=datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    day=date(1, 1, 1),
    clock=time(23, 59, 59, 1),
    span=timedelta(days=-3, microseconds=1),
    amount=Decimal("-12345678901234567890.000000001"),
    colour=Colour.BLUE,
    level=Level.HIGH,
    word="b",
    inner=Inner(many=[1, 2]),
    several={"x": [1], "": []},
)


def everything(row: Everything) -> tuple[vg.Service, Any]:
    service = vg.Service("all")
    topic = service.topic("placed", Placed, key="order_id")

    @service.view("all", Everything, key="key", of=topic)
    def view(event: Any, rows: Any) -> None:
        rows.put(row)

    return service, topic


def test_every_type_of_field_comes_back_as_it_was():
    service, topic = everything(EVERYTHING)
    with vg.testing.Harness(service) as h:
        h.send(topic, placed(1))
        assert h.queries["all"].get(UUID(int=7)) == EVERYTHING


@pytest.mark.parametrize(
    "name", [n for n in Everything.model_fields if n not in ("inner", "several")]
)
def test_every_plain_field_can_be_filtered_by(name: str):
    service, topic = everything(EVERYTHING)
    with vg.testing.Harness(service) as h:
        h.send(topic, placed(1))
        value = getattr(EVERYTHING, name)
        assert h.queries["all"].find(**{name: value}) == [EVERYTHING]
        if value is not None and not isinstance(value, bool):
            assert h.queries["all"].find(**{f"{name}_from": value}) == [EVERYTHING]
            assert h.queries["all"].find(**{f"{name}_to": value}) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"number": float("nan")},
        {"number": float("inf")},
        {"whole": 1 << 63},
        {"moment": NOON.replace(tzinfo=None)},
    ],
)
def test_a_row_holds_only_what_can_be_stored(changes: dict[str, Any]):
    with pytest.raises(ValidationError):
        Everything(**{**dict(EVERYTHING), **changes})


def test_a_row_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        EVERYTHING.text = "other"


def test_the_deletion_of_a_tables_row_is_told():
    service = vg.Service("names")
    customers = service.table("customer", Customer, key="customer_id")

    @service.view("names", CustomerRow, key="customer_id", of=customers)
    def names(event: Any, rows: Any) -> None:
        match event:
            case Customer():
                rows.put(CustomerRow(customer_id=event.customer_id, name=event.name))
            case vg.Deleted(topic="customer", key=key):
                rows.delete(key)

    with vg.testing.Harness(service) as h:
        h.send(customers, [Customer(customer_id=n, name=f"c{n}") for n in range(3)])
        h.delete(customers, 1)
        assert [row.customer_id for row in h.queries["names"].find()] == [0, 2]


def test_events_of_several_topics_come_in_the_order_of_time():
    seen: list[Any] = []
    shop = Shop()

    @shop.service.view("both", CustomerRow, key="customer_id", of=[shop.orders, shop.customers])
    def both(event: Any, rows: Any) -> None:
        seen.append(type(event).__name__)

    with vg.testing.Harness(shop.service) as h:
        h.put(shop.orders, placed(1))
        h.put(shop.customers, Customer(customer_id=1, name="Ada"))
        h.put(shop.orders, paid(1))
        h.run()
    assert seen == ["Placed", "Customer", "Paid"]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"of": []}, "expected topics that it reads"),
        ({"of": "nothing"}, "expected a topic"),
        ({"index": ["custmer_id"]}, "did you mean 'customer_id'"),
        ({"search": ["total"]}, "expected to search in text"),
        ({"version": 0}, "expected a version of 1 or more"),
        ({"start": "somewhere"}, "expected start="),
        ({"start": NOON.replace(tzinfo=None)}, "time zone"),
        ({"on_error": "ignore"}, "expected on_error="),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(options: dict[str, Any], error: str):
    with pytest.raises(DeclarationError, match=error):
        Shop(**options)


def test_two_views_of_one_name_are_refused():
    shop = Shop()
    with pytest.raises(DeclarationError, match="two views are called 'orders'"):
        shop.service.view("orders", OrderRow, key="order_id", of=shop.orders)


def test_what_was_made_of_a_stream_has_to_be_a_topic_first():
    shop = Shop()
    with pytest.raises(DeclarationError, match=r"expected a topic.*\.to"):
        shop.service.view("x", OrderRow, key="order_id", of=shop.orders.filter(vg_true()))


def vg_true() -> Any:
    import polars as pl

    return pl.lit(True)


def test_an_async_function_is_refused():
    async def function(event: Any, rows: Any) -> None:
        """Nothing."""

    with pytest.raises(DeclarationError, match="expected a plain function"):
        Shop(function)


def test_a_field_that_is_named_like_a_parameter_of_questions_is_refused():
    class Bad(vg.Row):
        order_id: str
        limit: int

    with pytest.raises(DeclarationError, match="expected no field 'limit'"):
        Shop(row=Bad, index=[], search=[])


def test_an_event_that_the_view_does_not_read_is_refused_in_a_test():
    with pytest.raises(DeclarationError, match="expected Dropped or Paid or Placed, got Customer"):
        rows_after(Shop().view, [Customer(customer_id=1, name="x")])


def test_an_unknown_field_has_the_nearest_name():
    with pytest.raises(UnknownField, match="did you mean 'status'"):
        Shop().view.form.column("statsu", "orders")
