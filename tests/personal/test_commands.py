"""The command line decrypts for people, encrypts what they send, and forgets."""

from __future__ import annotations

from pathlib import Path

import vagus as vg
from tests.cli.conftest import Vagus, folder, vagus
from tests.personal.people import ADA, BOB, Customer

__all__ = ["folder", "vagus"]


def _shop() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with vg.Client(app, "vagus.db") as client:
        client.send(customers, [ADA, BOB])


def test_consume_shows_personal_data_until_the_person_is_forgotten(vagus: Vagus) -> None:
    _shop()
    emails = [line["email"] for line in vagus("consume", "customer", "--json").lines]
    assert emails == ["ada@example.com", "bob@example.com"]

    assert "forgot 1" in vagus("forget", "1", "--yes").err

    emails = [line["email"] for line in vagus("consume", "customer", "--json").lines]
    assert emails == [None, "bob@example.com"]


def test_what_consume_prints_can_be_produced_again(vagus: Vagus, folder: Path) -> None:
    _shop()
    lines = vagus("consume", "customer", "--json").out
    (folder / "lines.jsonl").write_text(lines)

    vagus("produce", "customer", "lines.jsonl")

    shown = vagus("consume", "customer", "--json").lines
    assert [line["email"] for line in shown] == ["ada@example.com", "bob@example.com"] * 2
    assert [line["born"] for line in shown] == ["1815-12-10", None] * 2
    assert b"ada@" not in (folder / "vagus.db").read_bytes()


def test_forgetting_somebody_unknown_is_an_error(vagus: Vagus) -> None:
    _shop()
    assert "no personal data of '3'" in vagus("forget", "3", "--yes", code=1).err


def test_forgetting_asks_before(vagus: Vagus) -> None:
    _shop()
    vagus("forget", "1", code=2)
    assert vagus("consume", "customer", "--json").lines[0]["email"] == "ada@example.com"


def test_forgetting_needs_a_hub_that_is_there(vagus: Vagus) -> None:
    assert "no hub" in vagus("forget", "1", "--yes", code=1).err
