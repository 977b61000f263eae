"""A worker may die between any two steps of a turn: what comes of its input, comes once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg
from vagus.testing import Crash

if TYPE_CHECKING:
    from vagus.runtime.worker import CommitPoint

TIME = pl.Datetime("ms", "UTC")
POINTS: tuple[CommitPoint, ...] = ("read", "processed", "written", "committed")
OUTPUTS = ("copy", "with-price", "total", "per-minute", "closed", "by-size")


class Sale(vg.Event):
    product: str
    amount: int


class Price(vg.Event):
    product: str
    price: int


def _app() -> vg.App:
    """One of each kind of step: without state, joined, grouped, in windows, repartitioned."""
    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product")
    prices = app.table("price", Price, key="product")
    sales.filter(pl.col("amount") > 0).to("copy")
    sales.join(prices, how="left").to("with-price")
    sales.group_by().agg(total=vg.sum("amount"), emit="each").to("total")
    minutes = sales.window(vg.tumbling("1m"))
    minutes.agg(sales=vg.collect("amount"), name="per-minute").to("per-minute")
    minutes.agg(sales=vg.count(), emit="final", name="closed").to("closed")
    sales.group_by((pl.col("amount") % 3).alias("size")).agg(n=vg.count()).to("by-size")
    return app


Batch = list[tuple[str, int]]  # product and amount

_batches = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-3, 9)), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


def _outcome(batches: list[Batch], crashes: list[list[CommitPoint]]) -> dict[str, list[Any]]:
    """All that is in the output topics after the batches, the worker dying as told in each."""
    with vg.testing.Harness(_app()) as harness:
        for number, batch in enumerate(batches):
            now = pl.lit(number * 25_000).cast(TIME).alias("_time")
            price = pl.DataFrame({"product": [batch[0][0]], "price": [number]})
            harness.put("price", price.with_columns(now))
            sales = pl.DataFrame(batch, schema=["product", "amount"], orient="row")
            harness.put("sale", sales.with_columns(now))
            harness.crash_at(*(crashes[number] if number < len(crashes) else ()))
            harness.run()
        return {topic: harness.read(topic).rows() for topic in OUTPUTS}


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_changes_no_output(point: CommitPoint, turn: int) -> None:
    batches = [[("a", 1), ("b", 5)], [("a", 2)], [("b", 7), ("a", -1)], [("a", 4)]]
    undisturbed = _outcome(batches, [])
    assert all(undisturbed.values()), "an output of the example is empty"

    crashes: list[list[CommitPoint]] = [[], [], []]
    crashes[turn] = [point]

    assert _outcome(batches, crashes) == undisturbed


@settings(max_examples=25)
@given(_batches, st.lists(st.lists(st.sampled_from(POINTS), max_size=3), max_size=5))
def test_no_number_of_crashes_changes_an_output(
    batches: list[Batch], crashes: list[list[CommitPoint]]
) -> None:
    assert _outcome(batches, crashes) == _outcome(batches, [])


@pytest.mark.parametrize(
    ("point", "done"), [("read", 0), ("processed", 0), ("written", 0), ("committed", 1)]
)
def test_before_the_commit_nothing_has_happened_and_after_it_all(
    point: CommitPoint, done: int
) -> None:
    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product")
    sales.to("copy")
    sales.group_by().agg(n=vg.count()).to("count")
    with vg.testing.Harness(app) as harness:
        harness.put(sales, Sale(product="a", amount=1))
        harness.crash_at(point)

        with pytest.raises(Crash):
            harness.worker.turn()

        assert harness.read("copy").height == done
        assert harness.read("count").height == done


def test_state_is_as_of_the_last_commit_after_a_crash() -> None:
    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product")
    sales.group_by().agg(total=vg.sum("amount")).to_table("total")
    with vg.testing.Harness(app) as harness:
        harness.send(sales, Sale(product="a", amount=1))
        harness.crash_at("written", "processed", "committed")
        harness.send(sales, Sale(product="a", amount=10))
        harness.send(sales, Sale(product="a", amount=100))

        assert harness.views["total"].get("a") == {"product": "a", "total": 111}
