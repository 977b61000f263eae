"""The payment service: what is to be paid for orders, and what was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import (
    CancelPayment,
    DeclinePayment,
    Pay,
    PaymentFailed,
    PaymentReceived,
    PaymentRequested,
    RequestPayment,
)

Asked = RequestPayment | Pay | DeclinePayment | CancelPayment
Happened = PaymentRequested | PaymentReceived | PaymentFailed


class Payment(BaseModel):
    """What is remembered of a payment to decide."""

    status: Literal["none", "open", "paid", "failed"] = "none"
    cents: int = 0


def decide(command: Asked, payment: Payment) -> Iterator[Happened]:
    """What comes of a command."""
    order = command.order_id
    if isinstance(command, RequestPayment):
        if payment.status != "none":
            raise vg.Refused("known", f"a payment for order {order} was asked for already")
        yield PaymentRequested(order_id=order, customer_id=command.customer_id, cents=command.cents)
        return
    if payment.status != "open":
        raise vg.Refused("not-open", f"the payment for order {order} is {payment.status}")
    match command:
        case Pay(cents=cents):
            if cents != payment.cents:
                raise vg.Refused("wrong-amount", f"it is {payment.cents} cents", due=payment.cents)
            yield PaymentReceived(order_id=order, cents=cents)
        case DeclinePayment():
            yield PaymentFailed(order_id=order, reason="declined")
        case CancelPayment():
            yield PaymentFailed(order_id=order, reason="timed out")


def evolve(payment: Payment, event: Happened) -> Payment:
    """A payment after an event."""
    match event:
        case PaymentRequested(cents=cents):
            return Payment(status="open", cents=cents)
        case PaymentReceived():
            return payment.model_copy(update={"status": "paid"})
        case PaymentFailed():
            return payment.model_copy(update={"status": "failed"})


service = vg.Service("payment", session_timeout="6s")
payments = service.aggregate(
    "payment",
    key="order_id",
    commands=Asked,
    events=Happened,
    decider=vg.Decider(initial=Payment, decide=decide, evolve=evolve),
    partitions=2,
)
