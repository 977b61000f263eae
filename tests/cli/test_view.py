"""`vagus view`."""

from __future__ import annotations

import pytest

import vagus as vg
from vagus.cli.appfile import load_app

SERVICE = """
import os

import vagus as vg


class Placed(vg.Event):
    order_id: str
    cents: int


class Order(vg.Row):
    order_id: str
    cents: int


service = vg.Service("shop")
placed = service.topic("placed", Placed, key="order_id")


@service.view("orders", Order, key="order_id", of=placed)
def orders(event, rows):
    if event.cents < 0 and os.environ.get("SHOP_IS_STRICT"):
        raise ValueError("below zero")
    rows.put(Order(order_id=event.order_id, cents=event.cents))
"""


@pytest.fixture
def shop(folder) -> vg.Service:
    """A shop with three orders, the second one odd."""
    (folder / "shop.py").write_text(SERVICE)
    service = load_app("shop.py")
    with vg.Client(service, "vagus.db") as client:
        make = client.app.topics["placed"].schemas[0].event_type
        client.send(
            "placed", [make(order_id=o, cents=c) for o, c in (("a", 5), ("b", -1), ("c", 2))]
        )
    return service


def state(vagus) -> tuple[str, int | None]:
    (row,) = vagus("view", "list", "shop.py", "--json").json
    return row["state"], row["rows"]


def test_a_rebuild_says_how_many_rows_there_are(vagus, shop):
    assert state(vagus) == ("not built", None)
    assert "orders is rebuilt: 3 rows" in vagus("view", "rebuild", "shop.py", "orders").err
    assert state(vagus) == ("built", 3)


def test_a_poison_event_amid_a_rebuild_is_named_and_what_was_built_before_stays(
    vagus, shop, monkeypatch
):
    vagus("view", "rebuild", "shop.py", "orders")
    monkeypatch.setenv("SHOP_IS_STRICT", "1")
    said = vagus("view", "rebuild", "shop.py", "orders", code=1).err
    assert "ValueError: below zero" in said
    assert "placed" in said
    assert "offset 1" in said
    with vg.connect("vagus.db") as hub, vg.services.Queries(shop, hub) as queries:
        assert queries["orders"].get("b").cents == -1
    monkeypatch.delenv("SHOP_IS_STRICT")
    vagus("view", "rebuild", "shop.py", "orders")
    assert state(vagus) == ("built", 3)


def test_an_unknown_view_has_the_nearest_name(vagus, shop):
    said = vagus("view", "rebuild", "shop.py", "order", code=1).err
    assert "did you mean 'orders'" in said


def test_a_service_without_views_says_so(vagus, folder):
    (folder / "plain.py").write_text("import vagus as vg\n\nservice = vg.Service('plain')\n")
    with vg.connect("vagus.db"):
        pass
    said = vagus("view", "list", "plain.py", code=1).err
    assert "service.view(...) declares one" in said
