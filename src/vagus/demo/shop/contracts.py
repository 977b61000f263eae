"""What the services of the shop say to each other: their events, and the commands they take.

This is all that one service knows of another.
"""

from __future__ import annotations

import vagus as vg

# Customers


class RegisterCustomer(vg.Command):
    """A customer is new."""

    customer_id: int
    full_name: str
    address: str


class ChangeAddress(vg.Command):
    """A customer has moved."""

    customer_id: int
    address: str


class CustomerRegistered(vg.Event):
    """A customer is known from now on."""

    customer_id: int
    full_name: str
    address: str


class AddressChanged(vg.Event):
    """A customer lives elsewhere from now on."""

    customer_id: int
    address: str


# The catalogue


class AddProduct(vg.Command):
    """Offer a product."""

    sku: str
    title: str
    cents: int


class ChangePrice(vg.Command):
    """Offer a product for another price."""

    sku: str
    cents: int


class ProductAdded(vg.Event):
    """A product is offered."""

    sku: str
    title: str
    cents: int


class PriceChanged(vg.Event):
    """A product costs something else from now on."""

    sku: str
    cents: int


# Stock


class ReceiveGoods(vg.Command):
    """Pieces have come into the warehouse."""

    sku: str
    pieces: int


class ReserveStock(vg.Command):
    """Keep pieces for an order."""

    sku: str
    order_id: str
    pieces: int


class ReleaseStock(vg.Command):
    """Keep nothing for an order any more."""

    sku: str
    order_id: str


class TakeStock(vg.Command):
    """Take what is kept for an order out of the warehouse."""

    sku: str
    order_id: str


class GoodsReceived(vg.Event):
    """There are more pieces."""

    sku: str
    pieces: int


class StockReserved(vg.Event):
    """Pieces are kept for an order."""

    sku: str
    order_id: str
    pieces: int


class StockReleased(vg.Event):
    """What was kept for an order can be had by others."""

    sku: str
    order_id: str
    pieces: int


class StockTaken(vg.Event):
    """What was kept for an order has left the warehouse."""

    sku: str
    order_id: str
    pieces: int


# Orders


class PlaceOrder(vg.Command):
    """A customer wants something."""

    order_id: str
    customer_id: int
    sku: str
    pieces: int


class ConfirmOrder(vg.Command):
    """The order's goods are kept and paid."""

    order_id: str
    cents: int


class RejectOrder(vg.Command):
    """Nothing comes of the order."""

    order_id: str
    reason: str


class OrderPlaced(vg.Event):
    """A customer has ordered."""

    order_id: str
    customer_id: int
    sku: str
    pieces: int


class OrderPriced(vg.Event):
    """What an order costs, by the order service's own copy of the catalogue."""

    order_id: str
    customer_id: int
    sku: str
    pieces: int
    cents: int | None


class OrderConfirmed(vg.Event):
    """The order can be shipped."""

    order_id: str
    customer_id: int
    sku: str
    pieces: int
    cents: int


class OrderRejected(vg.Event):
    """Nothing came of the order."""

    order_id: str
    customer_id: int
    reason: str


# Payments


class RequestPayment(vg.Command):
    """A customer is to pay for an order."""

    order_id: str
    customer_id: int
    cents: int


class Pay(vg.Command):
    """A customer pays for an order."""

    order_id: str
    cents: int


class DeclinePayment(vg.Command):
    """The customer's bank refuses to pay."""

    order_id: str


class CancelPayment(vg.Command):
    """No payment is waited for any more."""

    order_id: str


class PaymentRequested(vg.Event):
    """A payment is waited for."""

    order_id: str
    customer_id: int
    cents: int


class PaymentReceived(vg.Event):
    """An order is paid."""

    order_id: str
    cents: int


class PaymentFailed(vg.Event):
    """An order will not be paid."""

    order_id: str
    reason: str


# Shipping


class ShipOrder(vg.Command):
    """Send an order to where its customer lives."""

    order_id: str
    sku: str
    pieces: int
    full_name: str
    address: str


class OrderShipped(vg.Event):
    """A parcel is on its way."""

    order_id: str
    sku: str
    pieces: int
    full_name: str
    address: str
