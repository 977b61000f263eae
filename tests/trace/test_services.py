"""A trace goes from a command through a service's events to what processes make of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

import vagus as vg
from vagus.streams.trace import trace


class Place(vg.Command):
    order_id: str


class Placed(vg.Event):
    order_id: str


class Ship(vg.Command):
    order_id: str


class Remind(vg.Event):
    order_id: str


class Order(BaseModel):
    placed: bool = False


class Case(BaseModel):
    reminded: int = 0


def _react(event: vg.Event, case: Case) -> Iterator[Any]:
    if isinstance(event, Placed):
        yield vg.After("1h", Remind(order_id=event.order_id))
    elif isinstance(event, Remind):
        yield Ship(order_id=event.order_id)


def _shop() -> tuple[vg.Service, Any]:
    service = vg.Service("shop")
    orders = service.aggregate(
        "order",
        key="order_id",
        commands=Place,
        events=Placed,
        decider=vg.Decider(
            initial=Order,
            decide=lambda command, order: [Placed(order_id=command.order_id)],
            evolve=lambda order, event: Order(placed=True),
        ),
    )
    ships = service.topic("ship", Ship, key="order_id")
    service.process(
        "shipping",
        Case,
        on={orders.events: "order_id"},
        react=_react,
        sends=[ships],
        timers=[Remind],
    )
    return service, orders


def test_a_command_is_traced_to_its_last_effect_through_a_timer_too() -> None:
    service, orders = _shop()
    with vg.testing.Harness(service) as harness:
        harness.send(Place(order_id="a"))
        harness.send(Place(order_id="b"))
        harness.advance("1h")

        place = f"{orders.command_topic.name}/0/0"
        found = trace(harness.hub, place, harness.registry)

        assert [(depth, one.type) for depth, one, _ in found] == [
            (0, "Place"),
            (1, "Placed"),
            (2, "Ship"),
        ]
        last = list(found)[-1]
        assert last[2] is not None
        assert last[1].time_ms - last[2].time_ms == 3_600_000
        assert last[1].key == b"a"
