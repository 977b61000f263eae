"""Events that a view can't take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import field_validator

import vagus as vg
from tests.services.views.running import followed, hub_in, until
from tests.services.views.shop import Shop, apply, dropped, paid, placed
from vagus.hub import Records, TopicPartition
from vagus.services import Queries, Token, ViewStopped
from vagus.streams import Retry

BAD = "o003"


def picky(event: Any, rows: Any) -> None:
    """Fails on an order, after it has changed another one."""
    if event.order_id == BAD:
        rows.delete("o001")
        raise ValueError("not this one")
    apply(event, rows)


def numbers(view: Any) -> list[int]:
    return [int(row.order_id[1:]) for row in view.find()]


def test_a_view_stops_at_an_event_that_its_function_fails_on_and_says_where():
    shop = Shop(picky)
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(6)])
        with pytest.raises(ViewStopped, match="not this one") as caught:
            h.queries["orders"].get("o001")
    assert (caught.value.topic, caught.value.partition, caught.value.offset) == ("order", 0, 3)
    assert 'on_error="dead-letter"' in str(caught.value)


def test_what_comes_before_the_event_is_kept_and_the_view_goes_on_there_when_it_is_mended(
    tmp_path: Path,
):
    seen: list[str] = []

    def function(event: Any, rows: Any) -> None:
        picky(event, rows) if not mended else apply(event, rows)
        seen.append(event.order_id)

    mended = False
    shop = Shop(function)
    with hub_in(tmp_path) as hub, vg.Client(shop.service, hub) as client:
        with followed(shop.service, hub) as queries:
            client.send(shop.orders, [placed(n) for n in range(6)])
            until(queries.errors)
            assert "offset 3" in str(queries.errors()["orders"])
            assert not queries["orders"].ready
        mended = True
        with followed(shop.service, hub) as queries:
            until(lambda: len(queries["orders"]) == 6)
    assert seen == [f"o{n:03}" for n in range(6)]


def test_with_dead_letters_the_event_is_set_apart_and_the_rest_goes_on():
    shop = Shop(picky, on_error="dead-letter")
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(6)])
        assert numbers(h.queries["orders"]) == [0, 1, 2, 4, 5]
        (letter,) = h.dead_letters
    assert (letter.step, letter.offset, letter.tries) == ("view: orders", 3, 1)
    assert letter.error == "ValueError: not this one"
    assert "picky" in letter.detail


def test_a_dead_letter_can_be_replayed_when_the_function_is_mended():
    mended = False

    def function(event: Any, rows: Any) -> None:
        (apply if mended else picky)(event, rows)

    shop = Shop(function, on_error="dead-letter")
    other = shop.orders.group_by().agg(n=vg.count()).to_table("counts")
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(6)])
        mended = True
        h.replay(*h.dead_letters)
        assert numbers(h.queries["orders"]) == [0, 1, 2, 3, 4, 5]
        assert h.read(other)["n"].max() == 1, "others don't see it a second time"
        assert len(h.dead_letters) == 1


def test_a_failing_function_is_called_again_as_often_as_the_service_says():
    tries: list[str] = []

    def flaky(event: Any, rows: Any) -> None:
        apply(event, rows)
        tries.append(event.order_id)
        if tries.count(BAD) in (1, 2):
            raise OSError("just now")

    shop = Shop(flaky, retry=Retry(times=2, wait_s=1))
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(5)])
        assert numbers(h.queries["orders"]) == [0, 1, 2, 3, 4]
        assert h.slept_s == [1, 2]
    assert tries.count(BAD) == 3


def unreadable(hub: Any) -> None:
    records = Records.of([b"o009"], [b"\x00nonsense"], [1_700_000_000_000])
    hub.append([(TopicPartition("order", 0), records)])


def test_a_view_stops_at_an_event_that_cannot_be_read():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(2)])
        unreadable(h.hub)
        h.put(shop.orders, placed(3))
        h.queries.refresh()
        with pytest.raises(ViewStopped, match="offset 2"):
            h.queries["orders"].find()


def test_with_dead_letters_an_event_that_cannot_be_read_is_set_apart():
    shop = Shop(on_error="dead-letter")
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(2)])
        unreadable(h.hub)
        h.send(shop.orders, placed(3))
        assert numbers(h.queries["orders"]) == [1, 2, 3]
        (letter,) = h.dead_letters
        assert (letter.topic, letter.offset, letter.value) == ("order", 2, b"\x00nonsense")


def test_other_partitions_are_not_taken_back_by_an_event_that_fails():
    shop = Shop(picky, partitions=4, on_error="stop")
    with vg.testing.Harness(shop.service) as h:
        h.run()
        h.send(shop.orders, [placed(n) for n in range(12)])
        # The harness takes what was sent together partition by partition.
        events = h.read(shop.orders, offsets=True)["order_id"].to_list()
        assert h.queries["orders"].status().rows == events.index(BAD)
        fixed = Shop(partitions=4)
        with Queries(fixed.service, h.hub, registry=h.registry) as queries:
            queries.refresh()
            assert len(queries["orders"]) == 12


def test_one_view_that_stops_does_not_hold_up_another():
    shop = Shop(picky)
    shop.service.view("fine", shop.view.row, key="order_id", of=shop.orders)(apply)
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(6)])
        assert len(h.queries["fine"]) == 6
        assert set(h.queries.errors()) == {"orders"}


def test_in_a_view_on_columns_the_event_stands_alone():
    def function(frame: pl.DataFrame, rows: Any) -> None:
        if (frame["order_id"] == BAD).any():
            raise ValueError("not this one")
        rows.put_frame(
            frame.select("order_id", "customer_id", "total", "note", placed_at="at").with_columns(
                status=pl.lit("placed")
            )
        )

    for mode, rows in (("stop", [0, 1, 2]), ("dead-letter", [0, 1, 2, 4, 5, 6])):
        shop = Shop(function, columns=True, on_error=mode)
        with vg.testing.Harness(shop.service) as h:
            h.run()
            h.send(shop.orders, [placed(n) for n in range(7)])
            if mode == "stop":
                assert h.queries["orders"].status().rows == len(rows)
                with pytest.raises(ViewStopped, match="offset 3"):
                    h.queries["orders"].find()
            else:
                assert numbers(h.queries["orders"]) == rows
                assert [letter.offset for letter in h.dead_letters] == [3]


def test_an_update_of_a_row_that_is_not_there_is_set_apart():
    shop = Shop(on_error="dead-letter")
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), paid(2), dropped(9)])
        assert numbers(h.queries["orders"]) == [1]
        assert [letter.offset for letter in h.dead_letters] == [1]


def test_a_token_of_a_view_that_stopped_says_so():
    shop = Shop(picky)
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(6)])
        token = Token("shop", {TopicPartition("order", 0): 6}, issued_ms=1_700_000_000_000)
        with pytest.raises(ViewStopped):
            h.queries["orders"].get("o001", token=token)


class Limited(vg.Event):
    """An event whose class has checks of its own."""

    order_id: str
    pieces: int

    @field_validator("pieces")
    @classmethod
    def few(cls, value: int) -> int:
        """At most ten."""
        if value > 10:
            raise ValueError("too many")
        return value


class Loose(vg.Event):
    """The same, as another program writes it."""

    order_id: str
    pieces: int


class PiecesRow(vg.Row):
    order_id: str
    pieces: int


def test_an_event_that_its_own_class_refuses_is_set_apart():
    service = vg.Service("strict")
    topic = service.topic("limited", Limited, key="order_id")

    @service.view("pieces", PiecesRow, key="order_id", of=topic, on_error="dead-letter")
    def pieces(event: Any, rows: Any) -> None:
        rows.put(PiecesRow(order_id=event.order_id, pieces=event.pieces))

    with vg.testing.Harness(service) as h:
        events = [Loose(order_id=f"o{n}", pieces=n) for n in (9, 10, 11, 7)]
        h.send(topic, Loose.to_frame(events))
        assert [row.pieces for row in h.queries["pieces"].find()] == [10, 7, 9]
        assert [letter.offset for letter in h.dead_letters] == [2]
        assert "too many" in h.dead_letters[0].error
