"""The application's own topics between two of its parts."""

from __future__ import annotations

from typing import Any

import pytest

import vagus as vg
from vagus.errors import HubError, HubUnavailable, OffsetOutOfRange
from vagus.hub import TopicPartition


class Sale(vg.Event):
    sale: str
    shop: str


def test_what_was_processed_of_a_repartition_topic_is_given_up() -> None:
    app = vg.App("sales")
    sales = app.topic("sale", Sale, key="sale")
    sales.group_by("shop").agg(sales=vg.count(), name="by-shop").to_table("by-shop")
    between = TopicPartition("sales-by-shop-repartition", 0)
    with vg.testing.Harness(app) as h:
        for number in range(3):
            h.send(sales, Sale(sale=f"s{number}", shop="north"))
            h.advance("10s")
        h.send(sales, Sale(sale="s3", shop="north"))
        assert h.hub.offsets([between], "earliest")[between] > 0
        assert h.views["by-shop"].get("north") == {"shop": "north", "sales": 4}


@pytest.mark.parametrize("error", [HubUnavailable("no answer"), OffsetOutOfRange("not yet")])
def test_what_cannot_be_given_up_now_is_given_up_later(
    monkeypatch: pytest.MonkeyPatch, error: HubError
) -> None:
    app = vg.App("sales")
    sales = app.topic("sale", Sale, key="sale")
    sales.group_by("shop").agg(sales=vg.count(), name="by-shop").to_table("by-shop")
    between = TopicPartition("sales-by-shop-repartition", 0)
    with vg.testing.Harness(app) as h:

        def refuse(positions: Any) -> None:
            refused.append(positions)
            raise error

        refused: list[Any] = []
        with monkeypatch.context() as broken:
            broken.setattr(h.hub, "trim", refuse)
            for number in range(3):
                h.send(sales, Sale(sale=f"s{number}", shop="north"))
                h.advance("10s")
            assert refused
            assert h.views["by-shop"].get("north") == {"shop": "north", "sales": 3}
        h.advance("10s")
        h.send(sales, Sale(sale="s3", shop="north"))
        assert h.hub.offsets([between], "earliest")[between] > 0
