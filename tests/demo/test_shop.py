"""The shop keeps its books right, whichever of its processes is killed."""

from __future__ import annotations

import io
import random
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from rich.console import Console

import vagus as vg
from tests.contract.hubs import ClusterUnderTest
from vagus.demo.shop import order, run, sales
from vagus.demo.shop.books import Books
from vagus.demo.shop.customers import Customers
from vagus.demo.shop.staff import SERVICES, Staff
from vagus.services.views import Queries

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster
    from vagus.hub import Hub

PATIENCE_S = 120.0
_PIECES = 30  # of each product: too few for all that is ordered


def _settled(hub: Hub) -> Books:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        books = Books.of(hub)
        if books.settled or time.monotonic() > deadline:
            return books
        time.sleep(0.2)


def open_and_close(hub: Hub, folder: Path, seed: int, *, orders: int, deaths: int) -> Books:
    """A day on which services are killed at random moments; the books at its end."""
    chance = random.Random(seed)
    with Staff(hub, folder, {"SHOP_PAYMENT_TIME": "2s"}) as staff:
        staff.start(*SERVICES)
        with Customers(hub, seed, count=10) as people:
            people.arrive(_PIECES)
            ordering = threading.Thread(target=people.order, args=(orders,))
            ordering.start()
            for _ in range(deaths):
                time.sleep(chance.uniform(0, 1.5))  # a moment like any other
                victim = chance.choice(SERVICES)
                staff.kill(victim)
                staff.start(victim)
            ordering.join()
            return _settled(hub)


def _each_refusal_of_stock_rejected_an_order(hub: Hub) -> None:
    client = vg.Client(order.service, hub)
    orders, told = client.read("order-event"), client.read("stock-refusal")
    refused = pl.col("command") == "ReserveStock"
    sold_out = told.filter(refused)["body"].str.json_path_match("$.order_id").to_list()
    short = (pl.col("_type") == "OrderRejected") & pl.col("reason").str.starts_with("only")
    assert sold_out
    assert sorted(sold_out) == sorted(orders.filter(short)["order_id"].to_list())


@pytest.mark.timeout(600)
def test_stock_payments_and_orders_add_up_whichever_service_is_killed(tmp_path: Path) -> None:
    with vg.connect(str(tmp_path / "shop.db")) as hub:
        _check(hub, tmp_path, orders=150, deaths=5)


@pytest.mark.timeout(600)
def test_on_kafka_they_add_up_too(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the services' views are
    under_test = ClusterUnderTest(kafka)
    try:
        _check(under_test.connect(), tmp_path, orders=80, deaths=2)
    finally:
        under_test.close()


def _check(hub: Hub, folder: Path, *, orders: int, deaths: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    books = open_and_close(hub, folder, seed, orders=orders, deaths=deaths)
    assert books.placed == orders
    assert books.wrong() == []
    _each_refusal_of_stock_rejected_an_order(hub)
    with Queries(sales.service, hub, path=str(folder / "sales.db")) as queries:
        queries.refresh()
        assert sum(row.cents for row in queries["sales"].find()) == books.cents_confirmed


def test_the_demonstration_ends_with_books_that_add_up() -> None:
    out = io.StringIO()
    books = run(orders=30, seed=5, console=Console(file=out, width=200))
    assert (books.placed, books.wrong()) == (30, [])
    said = out.getvalue()
    assert "While the customer service was down 10 orders were placed" in said
    assert "add up, to the piece and the cent" in said


def test_wrong_books_are_told() -> None:
    right = Books(2, 1, 1, 900, 900, 10, 2, 0, 0, 2, 1, 0)
    assert right.wrong() == []
    names = list(Books.__dataclass_fields__)
    for name in set(names) - {"pieces_received"}:
        values = {field: getattr(right, field) + (field == name) for field in names}
        assert Books(**values).wrong(), name


def test_a_new_address_reaches_the_parcels(tmp_path: Path) -> None:
    from vagus.demo.shop import catalogue, customer, payment, shipping, stock
    from vagus.demo.shop.contracts import (
        AddProduct,
        ChangeAddress,
        Pay,
        PlaceOrder,
        ReceiveGoods,
        RegisterCustomer,
    )
    from vagus.runtime.runner import Runner

    services = [module.service for module in (customer, catalogue, stock, order, payment, shipping)]
    with vg.connect(str(tmp_path / "shop.db")) as hub:
        runners = [Runner(service, hub) for service in services]
        threads = [threading.Thread(target=runner.run) for runner in runners]
        for thread in threads:
            thread.start()
        clients = {service.name: service.connect(hub) for service in services}
        try:
            call = {name: client.call for name, client in clients.items()}
            call["customer"](
                RegisterCustomer(customer_id=1, full_name="Ada", address="1 Mill Lane"),
                timeout_s=60,
            )
            call["catalogue"](AddProduct(sku="tea", title="Tea", cents=450), timeout_s=60)
            call["stock"](ReceiveGoods(sku="tea", pieces=9), timeout_s=60)
            call["customer"](ChangeAddress(customer_id=1, address="2 Hill Rise"), timeout_s=60)
            copies = vg.Client(order.service, hub)
            deadline = time.monotonic() + PATIENCE_S
            while "2 Hill Rise" not in copies.read("order-customer")["address"].to_list():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            call["order"](
                PlaceOrder(order_id="o", customer_id=1, sku="tea", pieces=2), timeout_s=60
            )
            while not call["payment"](Pay(order_id="o", cents=900), timeout_s=60).accepted:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            parcels = vg.Client(shipping.service, hub)
            while not (sent := parcels.read("shipping-event")).height:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert sent.select("order_id", "address").rows() == [("o", "2 Hill Rise")]
            assert sent.filter(pl.col("pieces") == 2).height == 1
        finally:
            for client in clients.values():
                client.close()
            for runner in runners:
                runner.stop()
            for thread in threads:
                thread.join()
