"""State is whole before anything is processed; what stands in the way of that is said."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

import vagus as vg
from tests.contract.hubs import records
from vagus.errors import HubUnavailable
from vagus.events import MemoryRegistry
from vagus.hub import Hub, TopicPartition
from vagus.runtime.replica import restore
from vagus.runtime.store import Store
from vagus.runtime.topic import TopicCodec

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster


class Price(vg.Event):
    product: str
    price: int


class Prices:
    """A table in a hub, with three rows, and a store that is to be filled from it."""

    def __init__(self, hub: Hub) -> None:
        app, registry = vg.App("shop"), MemoryRegistry()
        prices = app.table(f"price-{uuid.uuid4().hex}", Price, key="product")
        assert prices.topic is not None
        self.hub = hub
        self.partition = TopicPartition(prices.topic.name, 0)
        with vg.Client(app, hub, registry=registry) as client:
            for number in range(3):
                client.send(prices, Price(product=f"p{number}", price=number))
        self._codec = TopicCodec(prices.topic, registry)
        self.store = Store.for_topic(prices.topic)

    def end(self) -> int:
        """The end of the table's topic, past what is open."""
        return self.hub.offsets([self.partition], "latest")[self.partition]

    def restore(self, end: int, patience_s: float) -> list[tuple[int, int]]:
        """Restore up to an offset; what was told on the way: offsets that are done, and all."""
        told: list[tuple[int, int]] = []
        ends = {self.partition: end}
        restore(
            self.hub,
            self.store,
            self._codec,
            ends,
            lambda _what, done, total: told.append((done, total)),
            patience_s=patience_s,
        )
        return told


def test_a_restore_tells_how_far_it_is() -> None:
    prices = Prices(vg.connect(":memory:"))
    assert prices.restore(prices.end(), patience_s=60) == [(0, 3), (3, 3)]
    assert len(prices.store) == 3


def test_a_restore_that_gets_no_further_says_where_it_waits() -> None:
    prices = Prices(vg.connect(":memory:"))
    with pytest.raises(HubUnavailable) as caught:
        prices.restore(prices.end() + 1, patience_s=0.1)
    assert caught.value.where == f"{prices.partition.topic}[0]"
    assert "up to offset 4, got none after 3" in caught.value.message


def test_on_kafka_a_restore_waits_out_what_a_dead_writer_left_open(kafka: Cluster) -> None:
    with vg.connect(f"kafka://{kafka.bootstrap}") as hub:
        prices = Prices(hub)
        before = prices.end()
        open_one = hub.begin("a-writer-that-hangs")
        open_one.append([(prices.partition, records([b"never committed"], [b"p0"]))])
        while prices.end() == before:
            pass
        with pytest.raises(HubUnavailable) as caught:
            prices.restore(prices.end(), patience_s=0.1)
        assert caught.value.where == f"{prices.partition.topic}[0]"
        assert "kafka-transactions.sh" in (caught.value.hint or "")
        hub.begin("a-writer-that-hangs").abort()  # whoever comes after it ends it
        assert prices.restore(prices.end(), patience_s=60)[-1][0] > 0
        assert len(prices.store) == 3
