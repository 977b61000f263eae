"""Customers, whose personal data the tests encrypt and erase."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import Field

import vagus as vg
from vagus.hub import Hub, TopicPartition


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


def everything(hub: Hub) -> bytes:
    """All keys and values of all topics."""
    found = []
    for name in hub.topics():
        partitions = [
            TopicPartition(name, part.partition) for part in hub.describe_topic(name).partitions
        ]
        ends = hub.offsets(partitions, "latest")
        with hub.reader(hub.offsets(partitions, "earliest")) as reader:
            while any(at < ends[tp] for tp, at in reader.positions().items()):
                for read in reader.read(wait_s=1.0):
                    found += [part for part in read.keys.to_list() if part is not None]
                    found += [part for part in read.values.to_list() if part is not None]
    return b"".join(found)
