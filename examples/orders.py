"""Orders in a shop: several types of events in one topic, and tables that follow them.

vagus run examples/orders.py --http :8080    # in one terminal
python examples/orders.py                    # in another: a few orders
curl localhost:8080/views/order/A-1
curl localhost:8080/views/orders-by-state
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated

import polars as pl
from pydantic import Field

import vagus as vg

Money = Annotated[Decimal, Field(max_digits=12, decimal_places=2)]


class OrderPlaced(vg.Event):
    order_id: str
    customer: str
    amount: Money
    at: datetime


class OrderPaid(vg.Event):
    order_id: str
    at: datetime


class OrderCancelled(vg.Event):
    order_id: str
    reason: str
    at: datetime


app = vg.App("shop")
orders = app.topic(
    "order-event", OrderPlaced | OrderPaid | OrderCancelled, key="order_id", time="at"
)

# One row an order: what happened to it last, and what is known of it.
order = (
    orders.group_by()
    .agg(state=vg.last("_type"), customer=vg.last("customer"), amount=vg.last("amount"))
    .to_table("order")
)

# An order that changes its state leaves one row of this table and enters another.
order.group_by("state").agg(orders=vg.count()).to_table("orders-by-state")

# One type of the three, by another key than the topic's.
placed = orders.of(OrderPlaced)
placed.group_by("customer").agg(orders=vg.count(), largest=vg.max("amount")).to_table("customer")
placed.filter(pl.col("amount") >= 1_000).to("large-order", OrderPlaced)


def story(start: datetime) -> list[OrderPlaced | OrderPaid | OrderCancelled]:
    """Three orders: one is paid, one is cancelled, one is left waiting."""
    later = [start + timedelta(minutes=minute) for minute in range(5)]
    return [
        OrderPlaced(order_id="A-1", customer="Lovelace", amount=Decimal("1250.00"), at=later[0]),
        OrderPlaced(order_id="A-2", customer="Hopper", amount=Decimal("19.90"), at=later[1]),
        OrderPlaced(order_id="A-3", customer="Lovelace", amount=Decimal("40.00"), at=later[2]),
        OrderPaid(order_id="A-1", at=later[3]),
        OrderCancelled(order_id="A-2", reason="found it cheaper", at=later[4]),
    ]


if __name__ == "__main__":
    with vg.Client(app) as client:
        client.send(orders, story(datetime.now(UTC)))
