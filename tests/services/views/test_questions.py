"""Finding rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import vagus as vg
from tests.services.views.shop import NOON, Shop, paid, placed
from vagus.services import BadQuestion, UnknownField, UnknownView

if TYPE_CHECKING:
    from vagus.services.views import ServiceView


@pytest.fixture(scope="module")
def view() -> Iterator[ServiceView]:
    """Thirty orders of three customers; the odd ones are paid, every fifth has a note."""
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        notes = {
            n: f"Ring the {'big' if n % 2 else 'small'} bell, number{n}" for n in range(0, 30, 5)
        }
        h.send(shop.orders, [placed(n, note=notes.get(n)) for n in range(30)])
        h.send(shop.orders, [paid(n) for n in range(1, 30, 2)])
        yield h.queries["orders"]


def found(view: ServiceView, **asked: Any) -> list[int]:
    return [int(row.order_id[1:]) for row in view.find(**asked)]


def test_a_row_is_found_by_its_key(view: ServiceView):
    assert view.get("o007").customer_id == 1
    assert view.get("nothing") is None


def test_rows_are_ordered_by_key_unless_asked_otherwise(view: ServiceView):
    assert found(view) == list(range(30))
    assert found(view, sort="-total", limit=3) == [29, 28, 27]


def test_all_filters_have_to_fit(view: ServiceView):
    assert found(view, customer_id=1, status="paid") == [1, 7, 13, 19, 25]


def test_a_list_asks_for_any_of_its_values(view: ServiceView):
    assert found(view, order_id=["o003", "o001", "x"]) == [1, 3]
    assert found(view, note=[None, "x"], limit=3) == [1, 2, 3]


def test_a_range_has_its_start_and_not_its_end(view: ServiceView):
    assert found(view, total_from=Decimal(1), total_to="1.75") == [4, 5, 6]
    assert found(view, placed_at_from=NOON + timedelta(minutes=28)) == [28, 29]


def test_decimals_are_compared_as_numbers(view: ServiceView):
    assert found(view, total="1.2500") == [5]
    assert found(view, sort="total", total_from=2)[:3] == [8, 9, 10]


def test_none_asks_for_rows_without_a_value(view: ServiceView):
    assert found(view, note=None, total_to=Decimal(2)) == [1, 2, 3, 4, 6, 7]


def test_several_sort_keys(view: ServiceView):
    assert found(view, sort="-customer_id,total", limit=2) == [2, 5]
    assert found(view, sort=["status", "-order_id"], limit=2) == [29, 27]


@pytest.mark.parametrize(
    "sort", [None, "total", "-total", "note", "-note", "note,-total", "-note,customer_id"]
)
@pytest.mark.parametrize("limit", [1, 4, 29, 30])
def test_pages_have_every_row_once(view: ServiceView, sort: str | None, limit: int):
    whole = found(view, sort=sort)
    pages: list[int] = []
    page = view.find(sort=sort, limit=limit)
    pages += [int(row.order_id[1:]) for row in page]
    while page.next is not None:
        page = view.find(sort=sort, limit=limit, after=page.next)
        pages += [int(row.order_id[1:]) for row in page]
    assert pages == whole
    assert sorted(whole) == list(range(30))


def test_a_search_finds_rows_that_have_all_words(view: ServiceView):
    assert found(view, search="RING small") == [0, 10, 20]
    assert found(view, search="ring numb*") == [0, 5, 10, 15, 20, 25]
    assert found(view, search="numb") == []
    assert found(view, search="bell", customer_id=0) == [0, 15]


@pytest.mark.parametrize(
    "search", ['"', "ring AND", "NOT", "note:ring", "ring)", "a^b", "ring - bell"]
)
def test_a_search_is_words_and_nothing_else(view: ServiceView, search: str):
    with suppress(BadQuestion):  # where there are no words
        assert set(found(view, search=search)) <= {0, 5, 10, 15, 20, 25}


def test_a_search_follows_changes():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, placed(1, note="first"))
        h.send(shop.orders, placed(1, note="second"))
        view = h.queries["orders"]
        assert found(view, search="first") == []
        assert found(view, search="second") == [1]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"custmer_id": 1}, "no field 'custmer_id'.*did you mean 'customer_id'"),
        ({"sort": "-totl"}, "no field 'totl'.*did you mean 'total'"),
        ({"sort": "total,total"}, "each sort key once"),
        ({"customer_id": "x"}, "expected a whole number .* for 'customer_id', got 'x'"),
        ({"customer_id": 1 << 70}, "64 bits"),
        ({"placed_at_from": "2026-01-01T00:00:00"}, "a time with its zone"),
        ({"total_from": [1, 2]}, "expected one value for 'total_from'"),
        ({"customer_id": []}, "got none"),
        ({"limit": 0}, "limit from 1 to 10,000, got 0"),
        ({"limit": 10_001}, "limit from 1"),
        ({"search": " "}, "words to search for"),
        ({"after": "nonsense"}, "a place to read on from"),
        ({"after": "W10"}, "a place to read on from"),
    ],
)
def test_a_wrong_question_says_what_is_wrong(view: ServiceView, asked: dict[str, Any], error: str):
    with pytest.raises(BadQuestion, match=error):
        view.find(**asked)


def test_a_place_is_good_for_its_own_question_only(view: ServiceView):
    place = view.find(limit=1).next
    with pytest.raises(BadQuestion, match="of the same question"):
        view.find(sort="total", limit=1, after=place)


def test_a_view_without_texts_cannot_be_searched():
    shop = Shop(search=[])
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, placed(1))
        with pytest.raises(BadQuestion, match="expected no search"):
            h.queries["orders"].find(search="x")


def test_an_unknown_view_has_the_nearest_name():
    with vg.testing.Harness(Shop().service) as h, pytest.raises(UnknownView, match="'orders'"):
        h.queries["oders"]


def test_a_nested_field_can_be_kept_but_not_asked_for():
    class Nested(vg.Row):
        order_id: str
        tags: list[str]

    shop = Shop(
        lambda event, rows: rows.put(Nested(order_id=event.order_id, tags=["a"])),
        row=Nested,
        index=[],
        search=[],
    )
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, placed(1))
        view = h.queries["orders"]
        assert view.get("o001").tags == ["a"]
        for asked in ({"tags": "a"}, {"sort": "tags"}):
            with pytest.raises(BadQuestion, match="nested"):
                view.find(**asked)
        with pytest.raises(UnknownField):
            view.find(tag="a")
