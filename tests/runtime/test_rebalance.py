"""Workers come and go between turns: partitions move with their state, and nothing counts twice."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg
from vagus.errors import Fenced
from vagus.events import MemoryRegistry
from vagus.runtime.worker import Seams, Worker

PARTITIONS = 3


class Sale(vg.Event):
    product: str
    amount: int


class Price(vg.Event):
    product: str
    price: int


def _app() -> vg.App:
    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product", partitions=PARTITIONS)
    prices = app.table("price", Price, key="product", partitions=PARTITIONS)
    joined = sales.join(prices)
    joined.to("with-price")
    sales.group_by().agg(n=vg.count(), total=vg.sum("amount")).to_table("total")
    sales.group_by("amount").agg(n=vg.count()).to_table("by-amount")
    return app


class Shop:
    """The application's workers on one hub, with a clock that is set by hand."""

    def __init__(self) -> None:
        self.app, self.registry = _app(), MemoryRegistry()
        self.now_s = 1_700_000_000.0
        self.hub = vg.connect(":memory:", clock=lambda: self.now_s)
        self.client = vg.Client(
            self.app, self.hub, registry=self.registry, clock=lambda: self.now_s
        )
        self.workers: list[Worker] = []
        self.start()

    def start(self) -> None:
        seams = Seams(clock=lambda: self.now_s)
        self.workers.append(
            Worker(self.app.name, self.app.topology, self.hub, self.registry, seams=seams)
        )

    def turn(self, number: int) -> bool:
        """Let a worker take a turn; one that lost its place in the group is started anew."""
        try:
            return self.workers[number].turn()
        except Fenced:
            self.workers.pop(number).close()
            self.start()
            return True

    def settle(self) -> None:
        while sum(self.turn(number) for number in range(len(self.workers))):
            pass

    def die(self) -> None:
        """A worker does nothing any more, and its session times out."""
        self.workers.pop()
        self.now_s += 60


_moves = st.lists(st.sampled_from(["send", "start", "leave", "die", "turn"]), max_size=25)


@settings(max_examples=30)
@given(_moves)
def test_each_event_counts_once_whoever_processes_it(moves: list[str]) -> None:
    shop = Shop()
    products = "abcdefgh"
    shop.client.send("price", [Price(product=p, price=n) for n, p in enumerate(products)])
    sent: list[Sale] = []
    for number, move in enumerate(moves):
        if move == "send":
            made = [Sale(product=p, amount=number % 3) for p in products[: 1 + number % 8]]
            shop.client.send("sale", made)
            sent += made
        elif move == "start" and len(shop.workers) < 4:
            shop.start()
        elif move == "leave" and len(shop.workers) > 1:
            shop.workers.pop(0).close()
        elif move == "die" and len(shop.workers) > 1:
            shop.die()
        else:
            shop.turn(number % len(shop.workers))
    shop.settle()

    with shop.hub:
        client = shop.client
        totals = {row["product"]: row for row in _rows(client, "total")}
        counts = Counter(sale.product for sale in sent)
        assert {product: row["n"] for product, row in totals.items()} == counts
        assert {row["amount"]: row["n"] for row in _rows(client, "by-amount")} == Counter(
            sale.amount for sale in sent
        )
        with_price = client.read("with-price")
        assert Counter(with_price["product"]) == counts
        assert (
            with_price["price"]
            == with_price["product"].replace_strict({p: n for n, p in enumerate(products)})
        ).all()
        for worker in shop.workers:
            worker.close()


def test_partitions_are_shared_among_the_workers_and_taken_over_from_one_that_dies() -> None:
    shop = Shop()
    shop.settle()
    shop.start()
    shop.settle()
    first, second = (worker.assignment for worker in shop.workers)
    assert first
    assert second
    assert not first & second

    shop.die()
    shop.settle()

    assert shop.workers[0].assignment == first | second


def _rows(client: vg.Client, table: str) -> list[dict[str, int]]:
    rows = client.read(table)
    return (
        rows.unique("_key", keep="last", maintain_order=True)
        .filter(~pl.col("_tombstone"))
        .to_dicts()
    )
