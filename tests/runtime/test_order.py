"""In which order a worker takes what lies in several topics."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import vagus as vg
from vagus.events import MemoryRegistry
from vagus.runtime.worker import Worker

START = datetime(2024, 1, 1, tzinfo=UTC)


class Sale(vg.Event):
    product: str
    at: datetime


class Price(vg.Event):
    product: str
    price: int
    at: datetime


def _joined(sales: list[int], prices: list[tuple[int, int]]) -> list[int | None]:
    """The prices that sales at these minutes meet, given prices and the minutes they came at."""
    app = vg.App("shop")
    sale = app.topic("sale", Sale, key="product", time="at")
    price = app.table("price", Price, key="product", time="at")
    sale.join(price, how="left").to("out")
    sale.join(price.drop("at"), how="left").to("again")  # with a derived table
    with vg.connect(":memory:") as hub:
        registry = MemoryRegistry()
        client = vg.Client(app, hub, registry=registry)

        def at(minute: int) -> datetime:
            return START + timedelta(minutes=minute)

        client.send(sale, [Sale(product="a", at=at(minute)) for minute in sales])
        client.send(price, [Price(product="a", price=p, at=at(minute)) for p, minute in prices])
        worker = Worker(app.name, app.topology, hub, registry)
        while worker.turn():
            pass
        worker.close()
        found: list[int | None] = client.read("out")["price"].to_list()
        assert client.read("again")["price"].to_list() == found
        return found


def test_records_of_several_topics_are_taken_by_time_whenever_they_were_sent() -> None:
    assert _joined([1, 3, 5], [(10, 2), (20, 4)]) == [None, 10, 20]


def test_of_equal_time_a_tables_row_comes_before_an_event() -> None:
    assert _joined([1, 2], [(10, 1), (20, 2)]) == [10, 20]


@pytest.mark.parametrize("records_max", [1, 2, 3])
def test_it_does_not_matter_how_many_records_are_read_at_once(
    records_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.runtime.worker._READ_RECORDS", records_max)

    assert _joined([1, 3, 5, 5, 7], [(10, 2), (20, 4), (30, 5), (40, 6)]) == [
        None,
        10,
        30,
        30,
        40,
    ]


@pytest.mark.parametrize("records_max", [1, 2, 5])
def test_a_harness_takes_records_in_the_order_sent_however_many_are_read_at_once(
    records_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.runtime.worker._READ_RECORDS", records_max)
    app = vg.App("shop")
    sale = app.topic("sale", Sale, key="product", time="at")
    price = app.table("price", Price, key="product", time="at")
    sale.join(price, how="left").to("out")
    with vg.testing.Harness(app) as harness:
        for number in range(6):
            harness.put(sale, [Sale(product="a", at=START)] * 2)
            harness.put(price, Price(product="a", price=number, at=START))
        harness.run()

        assert harness.read("out")["price"].to_list() == [
            None, None, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4
        ]  # fmt: skip
