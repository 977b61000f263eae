"""Views on columns."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

import vagus as vg
from tests.services.views.shop import OrderRow, Placed, Shop, placed
from vagus.errors import DeclarationError, VagusError
from vagus.services import rows_after


class Sums(vg.Row):
    customer_id: int
    orders: int
    cents: int
    newest: datetime
    day: date | None = None


def sums(frame: pl.DataFrame, rows: Any) -> None:
    """Adds up a customer's orders."""
    new = frame.group_by("customer_id").agg(
        orders=pl.len().cast(pl.Int64),
        cents=(pl.col("total") * 100).cast(pl.Int64).sum(),
        newest=pl.col("at").max(),
    )
    known = rows.frame(new["customer_id"]).drop("day")
    rows.put_frame(
        pl.concat([known, new], how="vertical_relaxed")
        .group_by("customer_id")
        .agg(pl.col("orders", "cents").sum(), pl.col("newest").max())
        .with_columns(day=pl.col("newest").dt.date())
    )


def service_of(function: Any = sums, row: Any = Sums) -> tuple[vg.Service, Any]:
    service = vg.Service("sums")
    topic = service.topic("placed", Placed, key="order_id", partitions=2)
    service.view("sums", row, key="customer_id", of=topic, columns=True)(function)
    return service, topic


@pytest.mark.parametrize("size", [1, 7, 100])
def test_any_batching_gives_the_same_rows(size: int):
    service, topic = service_of()
    events = [placed(n) for n in range(100)]
    with vg.testing.Harness(service) as h:
        for start in range(0, 100, size):
            h.send(topic, events[start : start + size])
        found = h.queries["sums"].find()
    for row in found:
        mine = [event for event in events if event.customer_id == row.customer_id]
        assert row.orders == len(mine)
        assert row.cents == sum(int(event.total * 100) for event in mine)
        assert row.newest == max(event.at for event in mine)
        assert row.day == row.newest.date()
    assert len(found) == 3
    assert rows_after(service.declared_views["sums"], events) == list(found)


def test_the_last_row_of_a_key_counts_and_keys_can_be_deleted():
    def function(frame: pl.DataFrame, rows: Any) -> None:
        shown = frame.select("order_id", "customer_id", "total", "note", placed_at="at")
        rows.put_frame(shown.with_columns(status=pl.lit("a")))
        rows.put_frame(shown.with_columns(status=pl.lit("b")))
        rows.delete_keys(frame.filter(pl.col("customer_id") == 2)["order_id"])

    service = vg.Service("x")
    topic = service.topic("placed", Placed, key="order_id")
    service.view("x", OrderRow, key="order_id", of=topic, columns=True)(function)
    with vg.testing.Harness(service) as h:
        h.send(topic, [placed(n) for n in range(6)])
        found = h.queries["x"].find()
        assert [(row.order_id, row.status) for row in found] == [
            (f"o{n:03}", "b") for n in (0, 1, 3, 4)
        ]
        assert found[1].total == Decimal("0.25")


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"custmer_id": [1]}, "no field 'custmer_id'.*did you mean"),
        ({"customer_id": [1], "orders": [1], "cents": [1]}, "expected a column 'newest'"),
        ({"customer_id": [None]}, "expected no nulls .*customer_id"),
        ({"customer_id": [1.5]}, "expected whole numbers, got Float64"),
        (
            {"customer_id": [1], "orders": [1], "cents": [1], "newest": [datetime(2026, 1, 1)]},  # noqa: DTZ001
            "expected times with a zone",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(columns: dict[str, Any], error: str):
    service, _ = service_of(lambda frame, rows: rows.put_frame(pl.DataFrame(columns)))
    with pytest.raises(VagusError, match=error):
        rows_after(service.declared_views["sums"], [placed(1)])


def test_every_type_of_column_comes_back_as_it_was():
    class Kinds(vg.Row):
        customer_id: int
        span: timedelta
        raw: bytes
        flag: bool
        many: list[int]
        number: float

    frames: list[pl.DataFrame] = []
    given = pl.DataFrame(
        {
            "customer_id": [1],
            "span": [timedelta(microseconds=-5)],
            "raw": [b"\x00\xff"],
            "flag": [True],
            "many": [[1, 2]],
            "number": [0.5],
        }
    )

    def function(frame: pl.DataFrame, rows: Any) -> None:
        frames.append(rows.frame(pl.Series([1])))
        rows.put_frame(given)
        frames.append(rows.frame(pl.Series([1])))

    service, topic = service_of(function, Kinds)
    with vg.testing.Harness(service) as h:
        h.send(topic, placed(1))
        h.send(topic, placed(2))
        row = h.queries["sums"].get(1)
    assert dict(row) == given.row(0, named=True)
    plain = given.with_columns(many=pl.lit("[1,2]"))
    assert frames[0].height == 0
    for frame in frames[1:]:
        assert frame.equals(plain)


def test_a_view_on_columns_reads_one_topic():
    shop = Shop()
    with pytest.raises(DeclarationError, match="expected one topic for a view on columns"):
        shop.service.view(
            "x", OrderRow, key="order_id", of=[shop.orders, shop.customers], columns=True
        )(sums)


def test_times_keep_their_microseconds():
    moment = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)
    service, topic = service_of()
    with vg.testing.Harness(service) as h:
        h.send(topic, placed(1, at=moment))
        assert h.queries["sums"].get(1).newest == moment
