"""The order service: takes orders, and sees each through to its end.

It has copies of its own of what it needs to know of customers and products, and goes on taking
orders when those services are down.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import (
    AddressChanged,
    CancelPayment,
    ConfirmOrder,
    CustomerRegistered,
    DeclinePayment,
    GoodsReceived,
    OrderConfirmed,
    OrderPlaced,
    OrderPriced,
    OrderRejected,
    Pay,
    PaymentFailed,
    PaymentReceived,
    PaymentRequested,
    PlaceOrder,
    PriceChanged,
    ProductAdded,
    ReceiveGoods,
    RejectOrder,
    ReleaseStock,
    RequestPayment,
    ReserveStock,
    ShipOrder,
    StockReleased,
    StockReserved,
    StockTaken,
    TakeStock,
)

if TYPE_CHECKING:
    from vagus.services.views import Rows

PAYMENT_TIME = os.environ.get("SHOP_PAYMENT_TIME", "15m")

# Orders


class Order(BaseModel):
    """What is remembered of an order to decide."""

    status: Literal["none", "placed", "confirmed", "rejected"] = "none"
    customer_id: int = 0
    sku: str = ""
    pieces: int = 0


Asked = PlaceOrder | ConfirmOrder | RejectOrder
Happened = OrderPlaced | OrderConfirmed | OrderRejected


def decide(command: Asked, order: Order) -> Iterator[Happened]:
    """What comes of a command."""
    number = command.order_id
    if isinstance(command, PlaceOrder):
        if order.status != "none":
            raise vg.Refused("known", f"there is an order {number} already")
        if command.pieces <= 0:
            raise vg.Refused("not-positive", "an order is for at least one piece")
        yield OrderPlaced(**command.model_dump())
        return
    if order.status != "placed":
        raise vg.Refused("not-open", f"order {number} is {order.status}")
    match command:
        case ConfirmOrder(cents=cents):
            yield OrderConfirmed(
                order_id=number,
                customer_id=order.customer_id,
                sku=order.sku,
                pieces=order.pieces,
                cents=cents,
            )
        case RejectOrder(reason=reason):
            yield OrderRejected(order_id=number, customer_id=order.customer_id, reason=reason)


def evolve(order: Order, event: Happened) -> Order:
    """An order after an event."""
    match event:
        case OrderPlaced(customer_id=customer_id, sku=sku, pieces=pieces):
            return Order(status="placed", customer_id=customer_id, sku=sku, pieces=pieces)
        case OrderConfirmed():
            return order.model_copy(update={"status": "confirmed"})
        case OrderRejected():
            return order.model_copy(update={"status": "rejected"})


service = vg.Service("order", session_timeout="6s")
orders = service.aggregate(
    "order",
    key="order_id",
    commands=Asked,
    events=Happened,
    decider=vg.Decider(initial=Order, decide=decide, evolve=evolve),
    partitions=2,
)

# Our own copies of what others know

customers = (
    service.topic(
        "customer-event", CustomerRegistered | AddressChanged, key="customer_id", partitions=2
    )
    .group_by()
    .agg(full_name=vg.last("full_name"), address=vg.last("address"))
    .to_table("order-customer", partitions=2)
)
products = (
    service.topic("product-event", ProductAdded | PriceChanged, key="sku", partitions=2)
    .group_by()
    .agg(price=vg.last("cents"))
    .to_table("order-product", partitions=2)
)


def priced(row: Any) -> OrderPriced:
    """What an order costs; nothing is known of a product that was never offered."""
    return OrderPriced(
        order_id=row.order_id,
        customer_id=row.customer_id,
        sku=row.sku,
        pieces=row.pieces,
        cents=None if row.price is None else row.price * row.pieces,
    )


placed = orders.events.filter(pl.col("_type") == "OrderPlaced")
prices = (
    placed.select("order_id", "customer_id", "sku", "pieces")
    .join(products, on="sku", how="left")
    .map_events(priced)
)

# Seeing an order through

stock_events = service.topic(
    "stock-event",
    GoodsReceived | StockReserved | StockReleased | StockTaken,
    key="sku",
    partitions=2,
)
payment_events = service.topic(
    "payment-event",
    PaymentRequested | PaymentReceived | PaymentFailed,
    key="order_id",
    partitions=2,
)
stock_commands = service.topic(
    "stock-command",
    ReceiveGoods | ReserveStock | ReleaseStock | TakeStock,
    key="sku",
    partitions=2,
)
payment_commands = service.topic(
    "payment-command",
    RequestPayment | Pay | DeclinePayment | CancelPayment,
    key="order_id",
    partitions=2,
)


class Fulfilment(BaseModel):
    """How far an order is."""

    customer_id: int = 0
    sku: str = ""
    cents: int = 0


class PaymentTimedOut(vg.Event):
    """The customer had time enough to pay."""

    order_id: str


def fulfil(event: Any, case: Fulfilment) -> Iterator[Any]:
    """What is to be done next for an order."""
    match event:
        case OrderPriced(order_id=order, cents=None):
            yield RejectOrder(order_id=order, reason="unknown product")
            yield vg.Done()
        case OrderPriced(order_id=order, customer_id=customer, sku=sku, pieces=pieces, cents=cents):
            case.customer_id, case.sku, case.cents = customer, sku, cents or 0
            yield ReserveStock(sku=sku, order_id=order, pieces=pieces)
        case vg.Refusal(command=ReserveStock(order_id=order), reason=refused):
            yield RejectOrder(order_id=order, reason=refused.reason)
            yield vg.Done()
        case StockReserved(order_id=order):
            yield RequestPayment(order_id=order, customer_id=case.customer_id, cents=case.cents)
            yield vg.After(PAYMENT_TIME, PaymentTimedOut(order_id=order))
        case PaymentTimedOut(order_id=order):
            yield CancelPayment(order_id=order)
        case vg.Refusal(command=CancelPayment()):
            pass  # it was paid, or failed, at the last moment: that event comes
        case PaymentReceived(order_id=order, cents=cents):
            yield TakeStock(sku=case.sku, order_id=order)
            yield ConfirmOrder(order_id=order, cents=cents)
            yield vg.Done()
        case (
            PaymentFailed(order_id=order, reason=reason)
            | vg.Refusal(command=RequestPayment(order_id=order), reason=vg.Refused(reason=reason))
        ):
            yield ReleaseStock(sku=case.sku, order_id=order)
            yield RejectOrder(order_id=order, reason=f"payment {reason}")
            yield vg.Done()


fulfilment = service.process(
    "fulfilment",
    Fulfilment,
    on={prices: "order_id", stock_events: "order_id", payment_events: "order_id"},
    react=fulfil,
    sends=[orders.commands, stock_commands, payment_commands],
    timers=PaymentTimedOut,
    refusals=[ReserveStock, RequestPayment, CancelPayment],
)

# Confirmed orders are shipped to where the customer lives, as far as we know


def parcel(row: Any) -> ShipOrder:
    """What the shipping service is to do."""
    return ShipOrder(
        order_id=row.order_id,
        sku=row.sku,
        pieces=row.pieces,
        full_name=row.full_name or "",
        address=row.address or "",
    )


confirmed = orders.events.filter(pl.col("_type") == "OrderConfirmed")
(
    confirmed.select("order_id", "customer_id", "sku", "pieces")
    .join(customers, on="customer_id", how="left")
    .map_events(parcel)
    .to("shipping-command", partitions=2)
)

# What customers are told of their orders


class OrderRow(vg.Row):
    """An order, as it is shown."""

    order_id: str
    customer_id: int
    sku: str
    pieces: int
    status: Literal["placed", "confirmed", "rejected"]
    cents: int | None = None
    reason: str | None = None


@service.view("orders", OrderRow, key="order_id", of=orders, index=["customer_id", "status"])
def overview(event: Any, rows: Rows[OrderRow]) -> None:
    """Each order as of now."""
    match event:
        case OrderPlaced():
            rows.put(OrderRow(**event.model_dump(), status="placed"))
        case OrderConfirmed(order_id=order, cents=cents):
            rows.update(order, status="confirmed", cents=cents)
        case OrderRejected(order_id=order, reason=reason):
            rows.update(order, status="rejected", reason=reason)
