"""A join of a stream with a table against a dictionary: any batching, and restarts in between."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg

TIME = pl.Datetime("ms", "UTC")


class Order(vg.Event):
    number: int


class Price(vg.Event):
    product: str
    price: int


# A stream's record with its number, or a table's with a price (None deletes it).
Step = tuple[str, str, int | None]

_steps = st.lists(
    st.tuples(st.just("order"), st.sampled_from("abc"), st.integers(0, 99))
    | st.tuples(st.just("price"), st.sampled_from("abc"), st.none() | st.integers(0, 99)),
    min_size=1,
    max_size=30,
)


def _put(harness: vg.testing.Harness, step: Step) -> None:
    topic, key, value = step
    column = "number" if topic == "order" else "price"
    frame = pl.DataFrame(
        {
            "_key": [key],
            "_time": pl.Series([1]).cast(TIME),
            "_tombstone": [value is None],
            column: pl.Series([value], dtype=pl.Int64),
        }
    )
    if topic == "price":
        frame = frame.with_columns(pl.lit(key).alias("product"))
    harness.put(topic, frame)


@settings(max_examples=40)
@given(_steps, st.data())
def test_each_event_meets_the_row_of_its_moment(steps: list[Step], data: st.DataObject) -> None:
    app = vg.App("orders")
    orders = app.topic("order", Order)
    prices = app.table("price", Price, key="product")
    orders.join(prices).to("inner")
    orders.join(prices, how="left").to("left")
    rows: dict[str, int] = {}
    left: list[tuple[str, int, int | None]] = []
    for topic, key, value in steps:
        if topic == "order":
            assert value is not None
            left.append((key, value, rows.get(key)))
        else:
            rows.pop(key, None)
            if value is not None:
                rows[key] = value

    with vg.testing.Harness(app) as harness:
        for step in steps:
            _put(harness, step)
            if data.draw(st.booleans(), label="process now"):
                harness.run()
                if data.draw(st.booleans(), label="restart"):
                    harness.restart()
        harness.run()

        columns = ["_key", "number", "price"]
        assert harness.read("left").select(columns).rows() == left
        assert harness.read("inner").select(columns).rows() == [
            row for row in left if row[2] is not None
        ]
