"""`vagus process`."""

from __future__ import annotations

import pytest

import vagus as vg
from vagus.hub import connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Worker

SERVICE = """
import vagus as vg
from pydantic import BaseModel


class Placed(vg.Event):
    order_id: str
    cents: int


class Case(BaseModel):
    cents: int = 0


def react(event, case):
    if event.cents < 0:
        raise ValueError("below zero")
    case.cents = event.cents


service = vg.Service("shop")
placed = service.topic("placed", Placed, key="order_id")
service.process("fulfil", Case, on={placed: "order_id"}, react=react)
"""


@pytest.fixture
def cases(folder) -> None:
    """One case that waits, and one that failed."""
    (folder / "shop.py").write_text(SERVICE)
    from vagus.cli.appfile import load_app

    service = load_app("shop.py")
    with vg.Client(service, "vagus.db") as client:
        make = client.app.topics["placed"].schemas[0].event_type
        client.send("placed", [make(order_id="a", cents=5), make(order_id="b", cents=-1)])
    with connect("vagus.db") as hub:
        worker = Worker(service.name, service.topology, hub, HubRegistry(hub))
        while worker.turn():
            pass
        worker.close()


def test_cases_are_listed_with_what_holds_them_up(vagus, cases):
    rows = vagus("process", "list", "shop.py", "--json").json
    assert {row["key"]: (row["held"], row["error"]) for row in rows} == {
        "a": (0, None),
        "b": (1, "ValueError: below zero"),
    }


def test_only_the_stuck_ones_are_listed_on_demand(vagus, cases):
    rows = vagus("process", "list", "shop.py", "fulfil", "--stuck-for", "1d", "--json").json
    assert [row["key"] for row in rows] == ["b"]


def test_an_unknown_process_is_told_the_nearest_name(vagus, cases):
    said = vagus("process", "list", "shop.py", "fulfill", code=1)
    assert "did you mean 'fulfil'" in said.err
