"""The application's own topics between two of its parts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import vagus as vg
from tests.contract.cluster import clean
from tests.contract.hubs import eventually
from vagus.errors import HubError, HubUnavailable, OffsetOutOfRange
from vagus.hub import TopicPartition
from vagus.runtime.runner import Runner

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster


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


def test_what_was_worked_through_does_not_lag_on_kafka(kafka: Cluster) -> None:
    """Kafka's mark of a commit is behind the last record, and is passed too."""
    clean(kafka.bootstrap)
    app = vg.App("sales")
    sales = app.topic("sale", Sale, key="sale", partitions=2)
    sales.group_by("shop").agg(sales=vg.count(), name="by-shop").to_table("by-shop")
    with vg.Client(app, f"kafka://{kafka.bootstrap}") as client:
        client.send(sales, [Sale(sale=f"s{number}", shop="north") for number in range(20)])
        runner = Runner(app, client.hub)
        working = threading.Thread(target=runner.run)
        working.start()
        try:
            eventually(lambda: runner.metrics.count("records_in") == 40, "all is worked through")
            eventually(lambda: runner.lag() == 0, "nothing lags")
        finally:
            runner.stop()
            working.join()
    clean(kafka.bootstrap)
