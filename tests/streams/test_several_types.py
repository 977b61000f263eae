"""A topic can carry several event types."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Reading
from vagus.errors import DeclarationError, VagusError


class OrderPlaced(vg.Event):
    order: str
    amount: float


class OrderPaid(vg.Event):
    order: str
    method: str


EVENTS = [
    OrderPlaced(order="1", amount=10),
    OrderPaid(order="1", method="card"),
    OrderPlaced(order="2", amount=20),
]


def _orders(app: vg.App) -> vg.Stream:
    return app.topic("order", OrderPlaced | OrderPaid, key="order")


def test_all_types_come_in_the_order_of_the_topic() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    seen = []
    app.on(orders)(seen.append)
    with vg.testing.Harness(app) as harness:
        harness.send(orders, EVENTS)

        assert seen == EVENTS


def test_one_type_can_be_taken() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    paid = orders.of(OrderPaid)
    paid.to("paid")
    with vg.testing.Harness(app) as harness:
        harness.send(orders, EVENTS)

        assert paid.columns == {"order": pl.String(), "method": pl.String()}
        assert harness.read("paid").select("_key", "order", "method").rows() == [("1", "1", "card")]


def test_columns_are_those_of_all_types_with_nulls() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    with vg.testing.Harness(app) as harness:
        harness.put(orders, EVENTS)

        found = harness.read(orders)
        assert found["_type"].to_list() == ["OrderPlaced", "OrderPaid", "OrderPlaced"]
        assert found["amount"].to_list() == [10, None, 20]
        assert found["method"].to_list() == [None, "card", None]


def test_they_can_be_filtered_and_written_on_as_they_are() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    orders.filter(pl.col("order") == "1").to("first")
    with vg.testing.Harness(app) as harness:
        harness.send(orders, EVENTS)

        assert harness.read("first")["_type"].to_list() == ["OrderPlaced", "OrderPaid"]


def test_they_can_be_aggregated_together() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    orders.group_by().agg(
        events=vg.count(), amount=vg.sum("amount"), method=vg.last("method")
    ).to_table("state")
    with vg.testing.Harness(app) as harness:
        harness.send(orders, EVENTS)

        assert harness.views["state"].get("1") == {
            "order": "1",
            "events": 2,
            "amount": 10,
            "method": "card",
        }


def test_each_type_has_a_schema_of_its_own() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    with vg.testing.Harness(app) as harness:
        harness.put(orders, EVENTS)

        assert set(harness.registry.subjects()) >= {"order-OrderPlaced", "order-OrderPaid"}


def test_a_type_that_the_topic_does_not_carry_is_refused() -> None:
    orders = _orders(vg.App("shop"))
    with pytest.raises(DeclarationError, match="carries OrderPlaced, OrderPaid, not Reading"):
        orders.of(Reading)


def test_sending_another_type_is_refused() -> None:
    app = vg.App("shop")
    orders = _orders(app)
    with (
        vg.testing.Harness(app) as harness,
        pytest.raises(VagusError, match="expected OrderPlaced or OrderPaid, got Reading"),
    ):
        harness.send(orders, Reading(sensor="a", celsius=1))
