"""A trace shows what came of an event, over all topics and applications."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

import vagus as vg
from vagus.errors import VagusError
from vagus.hub.schemas import HubRegistry
from vagus.streams.trace import Trace, trace

if TYPE_CHECKING:
    from vagus.hub import Hub


class Order(vg.Event):
    order_id: str
    amount: int


class Payment(vg.Event):
    order_id: str
    amount: int


class Parcel(vg.Event):
    order_id: str
    number: int


def _pay(order: Order) -> Payment:
    if order.amount < 0:
        raise ValueError("nothing to pay")
    return Payment(order_id=order.order_id, amount=order.amount)


def _ship(payment: Payment) -> Iterator[Parcel]:
    for number in range(2):
        yield Parcel(order_id=payment.order_id, number=number)


def _shop() -> vg.App:
    app = vg.App("shop")
    orders = app.topic("order", Order, key="order_id")
    paid = orders.map_events(_pay)
    paid.to("payment")
    app.topic("payment", Payment).flat_map(_ship, into=Parcel).to("parcel")
    return app


def _lines(found: Trace) -> list[tuple[int, str | None, str]]:
    return [(depth, one.type, f"{one.topic}/{one.offset}") for depth, one, _ in found]


def _traced(hub: Hub, event: str, since_ms: int | None = None) -> Trace:
    return trace(hub, event, HubRegistry(hub), since_ms=since_ms)


def test_a_trace_goes_from_the_first_cause_to_the_last_effect() -> None:
    with vg.testing.Harness(_shop()) as harness:
        first, other = vg.Metadata.new(), vg.Metadata.new()
        harness.client.send("order", Order(order_id="z", amount=1), metadata=other)
        harness.client.send("order", Order(order_id="a", amount=5), metadata=first)
        harness.run()

        found = _traced(harness.hub, str(first.event_id))

        assert found.correlation_id == first.event_id
        assert _lines(found) == [
            (0, "Order", "order/1"),
            (1, "Payment", "payment/1"),
            (2, "Parcel", "parcel/2"),
            (2, "Parcel", "parcel/3"),
        ]


def test_any_event_of_a_trace_leads_to_all_of_it() -> None:
    with vg.testing.Harness(_shop()) as harness:
        harness.client.send("order", Order(order_id="a", amount=5), metadata=vg.Metadata.new())
        harness.run()

        whole = _lines(_traced(harness.hub, "order/0/0"))

        assert len(whole) == 4
        assert _lines(_traced(harness.hub, "parcel/0/1")) == whole


def test_a_dead_letter_is_shown_below_its_event() -> None:
    with vg.testing.Harness(_shop()) as harness:
        harness.client.send("order", Order(order_id="a", amount=-5), metadata=vg.Metadata.new())
        harness.run()

        found = list(_traced(harness.hub, "order/0/0"))

        assert [one.topic for _, one, _ in found] == ["order", "shop-dead-letters"]
        assert found[1][1].failed == "order.map_events"


def test_an_event_on_its_way_to_another_partition_is_shown_once() -> None:
    app = vg.App("shop")
    orders = app.topic("order", Order, key="order_id")
    orders.group_by("amount").agg(n=vg.count()).to("amounts")
    with vg.testing.Harness(app) as harness:
        harness.client.send("order", Order(order_id="a", amount=5), metadata=vg.Metadata.new())
        harness.run()

        assert [line[2] for line in _lines(_traced(harness.hub, "order/0/0"))] == [
            "order/0",
            "amounts/0",
        ]


def test_an_effect_whose_cause_is_gone_is_shown_by_itself() -> None:
    with vg.testing.Harness(_shop()) as harness:
        first = vg.Metadata.new()
        harness.client.send("order", Order(order_id="a", amount=5), metadata=first)
        harness.run()
        harness.hub.delete_topic("order")

        found = _traced(harness.hub, str(first.event_id))

        assert _lines(found)[0] == (0, "Payment", "payment/0")
        assert found.roots[0].metadata.causation_id == first.event_id


def test_events_sent_together_with_one_id_are_all_shown() -> None:
    with vg.testing.Harness(_shop()) as harness:
        orders = [Order(order_id="a", amount=1), Order(order_id="b", amount=2)]
        harness.client.send("order", orders, metadata=vg.Metadata.new())
        harness.run()

        topics = [one.topic for _, one, _ in _traced(harness.hub, "order/0/1")]
        assert sorted(topics) == ["order"] * 2 + ["parcel"] * 4 + ["payment"] * 2


def test_since_passes_over_older_events() -> None:
    with vg.testing.Harness(_shop()) as harness:
        first = vg.Metadata.new()
        harness.client.send("order", Order(order_id="a", amount=5), metadata=first)
        harness.run()
        now_ms = 1_700_000_000_000

        assert len(list(_traced(harness.hub, str(first.event_id), now_ms))) == 4
        with pytest.raises(VagusError, match="no event has the id"):
            _traced(harness.hub, str(first.event_id), now_ms + 1)


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ("nobody", "no event has the id 'nobody'"),
        ("order/0/7", r"no event at order/0/7.*kept are 0 up to 0"),
        ("order/9/0", r"no topic 'order\[9\]'"),
        ("orders/0/0", "no topic 'orders'.*did you mean 'order'"),
        ("order/x", r"expected an event's id or TOPIC/PARTITION/OFFSET"),
        ("order/0/0", "carries no id"),
    ],
)
def test_what_can_t_be_traced_is_said(event: str, problem: str) -> None:
    with vg.testing.Harness(_shop()) as harness:
        harness.send("order", Order(order_id="a", amount=5))
        with pytest.raises(VagusError, match=problem):
            _traced(harness.hub, event)
