"""Views are built anew beside what answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import vagus as vg
from tests.services.views.running import followed, hub_in, until
from tests.services.views.shop import OrderRow, Placed, Shop, apply, paid, placed
from vagus.services import Queries, Token, ViewNotBuilt, ViewStopped


class WiderRow(OrderRow):
    """A row of a later version."""

    shout: str = ""


class OtherRow(vg.Row):
    """A row that has nothing to do with the earlier ones but its key."""

    order_id: str
    needed: int


def shouting(event: Any, rows: Any) -> None:
    """The function of a later version."""
    if isinstance(event, Placed):
        fields = {"order_id": event.order_id, "customer_id": event.customer_id, "status": "placed"}
        rest = {"total": event.total, "placed_at": event.at, "note": event.note}
        rows.put(WiderRow(**fields, **rest, shout=(event.note or "").upper()))


@contextmanager
def released(event: threading.Event) -> Iterator[None]:
    """Let slow functions go on at the end, so that threads can end, whatever happens."""
    try:
        yield
    finally:
        event.set()


def fill(shop: Shop, hub: Any, numbers: range) -> None:
    with vg.Client(shop.service, hub) as client:
        client.send(shop.orders, [placed(n, note=f"n{n}") for n in numbers], acks="leader")


def test_a_rebuild_gives_the_same_rows(tmp_path: Path):
    shop = Shop()
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(50))
        with followed(shop.service, hub) as queries:
            before = queries["orders"].find(limit=1000)
        told: list[tuple[int, int]] = []
        with Queries(shop.service, hub) as queries:
            queries.rebuild("orders", lambda done, total: told.append((done, total)))
            assert queries["orders"].find(limit=1000) == before
        assert told[0] == (0, 50)
        assert told[-1] == (50, 50)


def test_a_new_version_is_built_at_the_next_start_while_the_old_one_answers(tmp_path: Path):
    go_on = threading.Event()

    def slow(event: Any, rows: Any) -> None:
        assert go_on.wait(60)
        shouting(event, rows)

    shop = Shop()
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(20))
        with followed(shop.service, hub):
            pass
        newer = Shop(slow, row=WiderRow, version=2)
        with Queries(newer.service, hub) as queries, released(go_on):
            queries.follow()
            view = queries["orders"]
            until(lambda: view.status().building)
            assert view.get("o007").shout == ""
            assert len(view.find(limit=100)) == 20
            with pytest.raises(ViewNotBuilt, match="can't be asked for shout"):
                view.find(shout="N7")
            fill(shop, hub, range(20, 25))
            go_on.set()
            until(lambda: view.status().version == 2)
            until(lambda: len(view) == 25)
            assert view.get("o007").shout == "N7"
            assert [row.order_id for row in view.find(shout="N24")] == ["o024"]


def test_rows_of_an_earlier_version_that_do_not_fit_are_not_given(tmp_path: Path):
    go_on = threading.Event()

    def other(event: Any, rows: Any) -> None:
        assert go_on.wait(60)
        rows.put(OtherRow(order_id=event.order_id, needed=1))

    shop = Shop()
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(3))
        with followed(shop.service, hub):
            pass
        newer = Shop(other, row=OtherRow, index=[], search=[])
        with Queries(newer.service, hub) as queries, released(go_on):
            queries.follow()
            view = queries["orders"]
            until(lambda: view.status().building)
            with pytest.raises(ViewNotBuilt, match="don't fit this one"):
                view.get("o001")
            go_on.set()
            until(lambda: isinstance(rows_or_none(view), list))


def rows_or_none(view: Any) -> Any:
    try:
        return view.find()
    except ViewNotBuilt:
        return None


def test_a_view_that_is_added_later_has_all_events(tmp_path: Path):
    shop = Shop()
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(5))
        with followed(shop.service, hub):
            pass
        later = Shop()
        later.service.view("late", OrderRow, key="order_id", of=later.orders)(apply)
        with followed(later.service, hub) as queries:
            assert len(queries["late"]) == len(queries["orders"]) == 5


def test_a_view_can_begin_at_the_end(tmp_path: Path):
    shop = Shop(start="latest")
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(5))
        with followed(shop.service, hub) as queries:
            assert len(queries["orders"]) == 0
            fill(shop, hub, range(5, 7))
            until(lambda: len(queries["orders"]) == 2)


def test_a_running_service_rebuilds_when_another_process_asks(tmp_path: Path):
    calls = []

    def counting(event: Any, rows: Any) -> None:
        calls.append(event)
        apply(event, rows)

    shop = Shop(counting)
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(5))
        with followed(shop.service, hub) as queries, Queries(Shop().service, hub) as asking:
            assert len(calls) == 5
            asking.rebuild("orders")
            assert len(calls) == 10
            assert len(queries["orders"]) == 5
            fill(shop, hub, range(5, 6))
            until(lambda: len(queries["orders"]) == 6)


def test_a_running_service_of_another_version_refuses_to_rebuild(tmp_path: Path):
    with hub_in(tmp_path) as hub:
        fill(Shop(), hub, range(5))
        with (
            followed(Shop().service, hub),
            Queries(Shop(version=2).service, hub) as asking,
            pytest.raises(vg.errors.VagusError, match="another version of this view"),
        ):
            asking.rebuild("orders")


def test_an_older_program_does_not_undo_a_newer_one(tmp_path: Path):
    with hub_in(tmp_path) as hub:
        fill(Shop(), hub, range(5))
        with followed(Shop(version=2).service, hub):
            pass
        with Queries(Shop().service, hub) as queries:
            queries.follow()
            error = until(lambda: queries.errors().get("orders"))
            assert "built by a newer program: its version is 2, here it is 1" in str(error)
            assert len(queries["orders"]) == 5


def test_a_poison_event_fails_the_rebuild_and_the_old_one_goes_on_answering(tmp_path: Path):
    def poisoned(event: Any, rows: Any) -> None:
        if event.order_id == "o003":
            raise ValueError("I don't like this one")
        apply(event, rows)

    with hub_in(tmp_path) as hub:
        fill(Shop(), hub, range(5))
        with followed(Shop().service, hub):
            pass
        with Queries(Shop(poisoned, version=2).service, hub) as queries:
            with pytest.raises(
                ViewStopped, match=r"the build of view 'orders' stopped.*offset 3\)"
            ):
                queries.rebuild("orders")
            assert len(queries["orders"]) == 5
            assert "I don't like this one" in str(queries["orders"].status().error)


def test_a_rebuild_that_was_cut_short_goes_on_where_it_was(tmp_path: Path):
    calls: list[str] = []

    def function(event: Any, rows: Any) -> None:
        if event.order_id == "o003" and len(calls) < 4:
            calls.append("failed")
            raise ValueError("not yet")
        calls.append(event.order_id)
        apply(event, rows)

    shop = Shop(function)
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(5))
        with Queries(shop.service, hub) as queries:
            queries.follow()
            until(queries.errors)
        with followed(shop.service, hub) as queries:
            assert len(queries["orders"]) == 5
    assert calls == ["o000", "o001", "o002", "failed", "o003", "o004"]


def test_a_token_is_waited_for_across_a_rebuild(tmp_path: Path):
    shop = Shop()
    with hub_in(tmp_path) as hub:
        fill(shop, hub, range(5))
        with followed(shop.service, hub) as queries, Queries(Shop().service, hub) as asking:
            asking.rebuild("orders")
            with vg.Client(shop.service, hub) as client:
                positions = client.send(shop.orders, paid(1), acks="leader")
            row = queries["orders"].get("o001", token=Token("shop", positions), wait_s=30)
            assert row.status == "paid"
