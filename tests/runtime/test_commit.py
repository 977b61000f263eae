"""When a worker commits, and what moves together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import vagus as vg
from vagus.events import MemoryRegistry
from vagus.hub import Hub, Records, TopicConfig, TopicPartition
from vagus.runtime.batch import Answer, Batch
from vagus.runtime.topology import Step
from vagus.runtime.worker import Seams, Worker

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

ANSWERS = TopicPartition("answers", 0)


class Sale(vg.Event):
    product: str


class Shop:
    """An application that copies sales, on a hub whose clock is set."""

    def __init__(self, *, partitions: int = 1, **options: Any) -> None:
        self.now = 1_700_000_000.0
        self.hub: Hub = vg.connect(":memory:", clock=lambda: self.now)
        self.registry = MemoryRegistry()
        self.app = vg.App("shop", **options)
        self.sales = self.app.topic("sale", Sale, key="product", partitions=partitions)
        self.client = vg.Client(self.app, self.hub, registry=self.registry)
        self._worker: Worker | None = None

    @property
    def worker(self) -> Worker:
        if self._worker is None:
            seams = Seams(clock=lambda: self.now)
            self._worker = Worker(
                self.app.name,
                self.app.topology,
                self.hub,
                self.registry,
                policy=self.app.policy,
                seams=seams,
            )
        return self._worker

    def sell(self, *products: str) -> None:
        """Send sales and give the worker turns until it has taken them in."""
        self.client.send(self.sales, [Sale(product=product) for product in products])
        while self.worker.turn():
            pass

    def copied(self) -> list[str]:
        return sorted(self.client.read("out")["product"])

    def restart(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None


@pytest.fixture
def gathering() -> Iterator[Shop]:
    shop = Shop(commit_interval="10s")
    shop.sales.to("out")
    yield shop
    shop.restart()
    shop.hub.close()


def test_on_the_embedded_hub_each_turn_is_committed() -> None:
    shop = Shop()
    shop.sales.to("out")
    shop.sell("a")
    assert shop.copied() == ["a"]
    shop.restart()


def test_work_is_gathered_until_the_interval_has_passed(gathering: Shop) -> None:
    gathering.sell("a")
    gathering.now += 9
    gathering.sell("b")
    assert gathering.copied() == []
    gathering.now += 1
    gathering.worker.turn()
    assert gathering.copied() == ["a", "b"]


def test_the_interval_begins_with_the_first_work_that_waits(gathering: Shop) -> None:
    gathering.now += 60
    gathering.sell("a")
    assert gathering.copied() == []


def test_enough_bytes_are_committed_before_the_interval_has_passed() -> None:
    shop = Shop(commit_interval="10s", commit_bytes=100)
    shop.sales.to("out")
    shop.sell("a")
    assert shop.copied() == []
    shop.sell("b" * 100)
    assert shop.copied() == ["a", "b" * 100]
    shop.restart()


def test_a_worker_that_is_told_to_commit_does(gathering: Shop) -> None:
    gathering.sell("a")
    gathering.worker.commit()
    assert gathering.copied() == ["a"]


def test_a_worker_that_is_stopped_commits_what_it_has_done(gathering: Shop) -> None:
    gathering.sell("a")
    gathering.worker.stop()
    gathering.worker.run()
    assert gathering.copied() == ["a"]


def test_what_was_not_committed_is_done_again_after_a_crash(gathering: Shop) -> None:
    gathering.sell("a")
    gathering.worker.commit()
    gathering.sell("b")
    gathering.restart()
    assert gathering.copied() == ["a"]
    gathering.sell("c")
    gathering.worker.commit()
    assert gathering.copied() == ["a", "b", "c"]


def test_a_worker_commits_before_it_gives_partitions_up() -> None:
    shop = Shop(commit_interval="10s", partitions=2)
    shop.sales.to("out")
    shop.sell("a")
    with shop.hub.join("shop", ["sale"]) as other:
        for _ in range(4):
            shop.worker.turn()
            other.read()
        assert shop.copied() == ["a"]
    shop.restart()


def _step(shop: Shop, call: Callable[[pl.DataFrame, Batch], None], due: list[int]) -> None:
    """A step that gives on what it gets, does something besides, and is called when due."""

    class Process:
        @property
        def due_ms(self) -> int | None:
            return due[0] if due else None

        def __call__(self, inputs: list[pl.DataFrame], batch: Batch) -> pl.DataFrame:
            call(inputs[0], batch)
            return inputs[0]

    node = shop.app.topology.add(
        Step(
            "step",
            (shop.sales.node,),
            make=lambda stores: Process(),
            empty=shop.sales.empty,
            effect=True,
        )
    )
    from dataclasses import replace

    replace(shop.sales, node=node).to("out")


def test_work_that_somebody_waits_for_is_committed_at_once_with_all_that_waits() -> None:
    shop = Shop(commit_interval="10s")

    def call(frame: pl.DataFrame, batch: Batch) -> None:
        batch.urgent = "b" in frame["product"].to_list()

    _step(shop, call, [])
    shop.sell("a")
    assert shop.copied() == []
    shop.sell("b")
    assert shop.copied() == ["a", "b"]
    shop.restart()


def test_an_answer_says_where_outputs_lie_and_is_committed_with_them() -> None:
    shop = Shop(commit_interval="10s")
    told: list[str] = []
    shop.hub.create_topic("answers", TopicConfig())

    def call(frame: pl.DataFrame, batch: Batch) -> None:
        products = frame["product"].to_list()

        def write(offsets: NDArray[np.int64]) -> list[tuple[TopicPartition, Records]]:
            text = ",".join(f"{p}@{o}" for p, o in zip(products, offsets.tolist(), strict=True))
            return [(ANSWERS, Records.of([None], [text.encode()], [0]))]

        batch.answers.append(Answer("out", write, lambda: told.extend(products)))

    _step(shop, call, [])
    shop.sell("a", "b")
    shop.sell("c")
    assert told == []
    shop.worker.commit()
    assert told == ["a", "b", "c"]
    shop.sell("d")
    shop.worker.commit()
    with shop.hub.reader({ANSWERS: 0}) as reader:
        found = [value for read in reader.read() for value in read.values.to_list()]
    assert found == [b"a@0,b@1", b"c@2", b"d@3"]
    shop.restart()


def test_a_step_is_called_when_it_is_due_though_nothing_came() -> None:
    shop = Shop()
    due: list[int] = []
    called: list[int] = []

    def call(frame: pl.DataFrame, batch: Batch) -> None:
        called.append(batch.now_ms)
        due[:] = [batch.now_ms + 60_000] if frame.height else []

    _step(shop, call, due)
    shop.sell("a")
    begun = called[0]
    shop.now += 59
    shop.worker.turn()
    assert called == [begun]
    shop.now += 1
    shop.worker.turn()
    assert called == [begun, begun + 60_000]
    shop.worker.turn()
    assert len(called) == 2
    shop.restart()
