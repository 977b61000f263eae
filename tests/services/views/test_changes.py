"""What changed in a view, as it comes."""

from __future__ import annotations

from typing import Any

import pytest

import vagus as vg
from tests.services.views.shop import Shop, dropped, paid, placed
from vagus.services import BadQuestion
from vagus.services.views import table


def told(changes: Any) -> list[tuple[str, str | None]]:
    return [(c.key, None if c.row is None else c.row.status) for c in changes.changes]


def test_changes_begin_where_now_is_and_follow():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(2)])
        view = h.queries["orders"]
        now = view.changes()
        assert told(now) == []
        h.send(shop.orders, [paid(2), placed(3)])
        h.send(shop.orders, [dropped(1)])
        later = view.changes(now.place)
        assert sorted(told(later)) == [("o001", None), ("o002", "paid"), ("o003", "placed")]
        assert told(later)[-1] == ("o001", None)
        assert told(view.changes(later.place)) == []


def test_changes_can_begin_with_all_rows():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(2)])
        h.send(shop.orders, [dropped(1)])
        assert told(h.queries["orders"].changes("")) == [("o002", "placed")]


def test_changes_come_in_parts_that_miss_nothing():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        view = h.queries["orders"]
        h.run()
        place = view.changes().place
        for n in range(20):
            h.send(shop.orders, [placed(n), placed(n + 100)])
        for n in range(0, 20, 2):
            h.send(shop.orders, [dropped(n)])
        parts: list[tuple[str, str | None]] = []
        while (found := view.changes(place, limit=3)).changes:
            parts += told(found)
            place = found.place
        gone = {key for key, status in parts if status is None}
        assert gone == {f"o{n:03}" for n in range(0, 20, 2)}
        assert len(parts) == 40


def test_a_row_that_ceases_to_fit_a_filter_comes_as_gone():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1), placed(2)])
        view = h.queries["orders"]
        place = view.changes().place
        h.send(shop.orders, [paid(1)])
        assert told(view.changes(place, status="placed")) == [("o001", None)]


def test_a_row_that_was_deleted_and_put_again_is_there():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1)])
        view = h.queries["orders"]
        place = view.changes().place
        h.send(shop.orders, [dropped(1)])
        h.send(shop.orders, [placed(1)])
        assert told(view.changes(place)) == [("o001", "placed")]


def test_after_a_rebuild_changes_begin_anew_and_say_so():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1)])
        place = h.queries["orders"].changes().place
        h.queries.rebuild("orders")
        found = h.queries["orders"].changes(place)
        assert found.restart
        assert told(found) == [("o001", "placed")]


def test_changes_begin_anew_where_too_much_was_deleted_since(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table, "_GONE_MAX", 5)
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(10)])
        view = h.queries["orders"]
        place = view.changes().place
        for n in range(8):
            h.send(shop.orders, [dropped(n)])
        found = view.changes(place)
        assert found.restart
        assert told(found) == [("o008", "placed"), ("o009", "placed")]


@pytest.mark.parametrize("since", ["x", "1", "1-x", "-1-2", "1-2-3", "9" * 50 + "-1"])
def test_a_place_that_is_none_is_refused(since: str):
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(1)])
        with pytest.raises(BadQuestion, match="expected a place among the changes"):
            h.queries["orders"].changes(since)
