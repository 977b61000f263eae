"""Sales: a view that somebody thought of years later, made of all that happened since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vagus as vg
from vagus.demo.shop.contracts import OrderConfirmed, OrderPlaced, OrderRejected

if TYPE_CHECKING:
    from vagus.services.views import Rows


class Sales(vg.Row):
    """What was sold of a product."""

    sku: str
    orders: int
    pieces: int
    cents: int


service = vg.Service("sales")
orders = service.topic(
    "order-event", OrderPlaced | OrderConfirmed | OrderRejected, key="order_id", partitions=2
)


@service.view("sales", Sales, key="sku", of=orders)
def sales(event: Any, rows: Rows[Sales]) -> None:
    """Each product's orders, pieces and cents."""
    if isinstance(event, OrderConfirmed):
        known = rows.get(event.sku) or Sales(sku=event.sku, orders=0, pieces=0, cents=0)
        rows.put(
            Sales(
                sku=event.sku,
                orders=known.orders + 1,
                pieces=known.pieces + event.pieces,
                cents=known.cents + event.cents,
            )
        )
