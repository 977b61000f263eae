"""Customers, whose personal data the tests encrypt and erase."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

import vagus as vg


class Customer(vg.Event):
    customer_id: int
    city: str
    email: Annotated[str | None, vg.Personal("customer_id")] = None
    born: Annotated[date | None, vg.Personal("customer_id")] = None
    credit: Annotated[
        Decimal | None, Field(max_digits=12, decimal_places=2), vg.Personal("customer_id")
    ] = None


class Order(vg.Event):
    order_id: str
    customer_id: int


ADA = Customer(
    customer_id=1,
    city="London",
    email="ada@example.com",
    born=date(1815, 12, 10),
    credit=Decimal("12.50"),
)
BOB = Customer(customer_id=2, city="Bonn", email="bob@example.com")
