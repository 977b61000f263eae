"""The shipping service: sends parcels."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import OrderShipped, ShipOrder


class Parcel(BaseModel):
    """What is remembered of a parcel to decide."""

    sent: bool = False


def decide(command: ShipOrder, parcel: Parcel) -> Iterator[OrderShipped]:
    """What comes of a command."""
    if parcel.sent:
        raise vg.Refused("known", f"order {command.order_id} is on its way already")
    yield OrderShipped(**command.model_dump())


def evolve(parcel: Parcel, event: OrderShipped) -> Parcel:
    """A parcel after an event."""
    return Parcel(sent=True)


service = vg.Service("shipping", session_timeout="6s")
parcels = service.aggregate(
    "shipping",
    key="order_id",
    commands=ShipOrder,
    events=OrderShipped,
    decider=vg.Decider(initial=Parcel, decide=decide, evolve=evolve),
    partitions=2,
)
