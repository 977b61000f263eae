"""Orders, and the view of them that most tests look at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

import vagus as vg

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class Placed(vg.Event):
    order_id: str
    customer_id: int
    total: Money
    at: datetime
    note: str | None = None


class Paid(vg.Event):
    order_id: str


class Dropped(vg.Event):
    order_id: str


class Customer(vg.Event):
    customer_id: int
    name: str


class OrderRow(vg.Row):
    order_id: str
    customer_id: int
    status: str
    total: Decimal
    placed_at: datetime
    note: str | None = None


class CustomerRow(vg.Row):
    customer_id: int
    name: str
    orders: int = 0


def apply(event: Any, rows: Any) -> None:
    """The view of orders."""
    match event:
        case Placed():
            rows.put(
                OrderRow(
                    order_id=event.order_id,
                    customer_id=event.customer_id,
                    status="placed",
                    total=event.total,
                    placed_at=event.at,
                    note=event.note,
                )
            )
        case Paid():
            rows.update(event.order_id, status="paid")
        case Dropped():
            rows.delete(event.order_id)


class Shop:
    """A service with a view of orders, declared anew for each test."""

    def __init__(self, function: Any = apply, *, partitions: int = 1, **options: Any) -> None:
        self.service = vg.Service("shop", retry=options.pop("retry", None))
        self.orders = self.service.topic(
            "order", Placed | Paid | Dropped, key="order_id", partitions=partitions
        )
        self.customers = self.service.table("customer", Customer, key="customer_id")
        options = {"index": ["customer_id"], "search": ["note"], "of": [self.orders]} | options
        row = options.pop("row", OrderRow)
        self.view = self.service.view("orders", row, key="order_id", **options)(function)


def placed(number: int, **fields: Any) -> Placed:
    """Order number so and so."""
    known = {
        "order_id": f"o{number:03}",
        "customer_id": number % 3,
        "total": Decimal(number) / 4,
        "at": NOON + timedelta(minutes=number),
    }
    return Placed(**{**known, **fields})


def paid(number: int) -> Paid:
    return Paid(order_id=f"o{number:03}")


def dropped(number: int) -> Dropped:
    return Dropped(order_id=f"o{number:03}")
