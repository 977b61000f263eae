"""Views never speak of another hub's events, such as those of one that was deleted."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import vagus as vg
from tests.services.views.running import followed, hub_in
from tests.services.views.shop import Shop, apply, placed
from vagus.errors import VagusError
from vagus.services import Queries, ViewNotBuilt


def fill(hub: Any, numbers: range) -> None:
    shop = Shop()
    with vg.Client(shop.service, hub) as client:
        client.send(shop.orders, [placed(n) for n in numbers], acks="leader")


def built(folder: Path, numbers: range) -> None:
    """A hub with orders, and the view of them."""
    with hub_in(folder) as hub:
        fill(hub, numbers)
        with followed(Shop().service, hub) as queries:
            assert len(queries["orders"]) == len(numbers)


def delete_hub(folder: Path) -> None:
    for file in folder.glob("hub.db*"):
        file.unlink()


def keys(queries: Queries) -> list[str]:
    return [row.order_id for row in queries["orders"].find(limit=1000)]


@pytest.mark.parametrize("count", [2, 5, 9])
def test_a_view_is_built_again_if_the_hub_was_made_anew(tmp_path: Path, count: int):
    built(tmp_path, range(5))
    delete_hub(tmp_path)
    with hub_in(tmp_path) as hub:
        fill(hub, range(100, 100 + count))
        with followed(Shop().service, hub) as queries:
            assert keys(queries) == [f"o{n}" for n in range(100, 100 + count)]


def test_a_build_that_was_cut_short_is_not_gone_on_with_on_another_hub(tmp_path: Path):
    def failing(event: Any, rows: Any) -> None:
        if event.order_id == "o003":
            raise ValueError("not this one")
        apply(event, rows)

    with hub_in(tmp_path) as hub:
        fill(hub, range(5))
        with Queries(Shop(failing).service, hub) as queries:
            queries.refresh()
            assert "not this one" in str(queries["orders"].status().error)
    delete_hub(tmp_path)
    with hub_in(tmp_path) as hub:
        fill(hub, range(100, 109))
        with followed(Shop(failing).service, hub) as queries:
            assert len(queries["orders"]) == 9


def test_the_rows_of_another_hub_are_not_shown_until_the_view_is_built_again(tmp_path: Path):
    built(tmp_path, range(5))
    delete_hub(tmp_path)
    with hub_in(tmp_path) as hub, Queries(Shop().service, hub) as queries:
        with pytest.raises(ViewNotBuilt, match="was built from another hub"):
            queries["orders"].get("o001")
        assert queries["orders"].status().rows is None


def test_it_is_said_once_that_a_view_was_of_another_hub(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    built(tmp_path, range(5))
    delete_hub(tmp_path)
    for _ in range(2):
        with hub_in(tmp_path) as hub, followed(Shop().service, hub):
            pass
    [said] = caplog.messages
    assert said.startswith("view orders: ")
    assert "built from another hub" in said


def test_a_view_goes_on_where_the_hub_is_the_same(tmp_path: Path):
    calls = []

    def counting(event: Any, rows: Any) -> None:
        calls.append(event)
        apply(event, rows)

    built(tmp_path, range(5))
    with hub_in(tmp_path) as hub:
        fill(hub, range(5, 7))
        with Queries(Shop(counting).service, hub) as queries:
            queries.refresh()
            assert len(queries["orders"]) == 7
    assert len(calls) == 2


def test_a_file_that_knows_of_no_hub_is_taken_for_one_of_the_hub_at_hand(tmp_path: Path):
    def fails(event: Any, rows: Any) -> None:
        raise AssertionError("it is not built again")

    built(tmp_path, range(5))
    path = tmp_path / "shop-views.db"
    with closing(sqlite3.connect(path)) as older:
        older.execute("ALTER TABLE generation DROP COLUMN hub")
        older.execute("PRAGMA user_version = 1")
    with hub_in(tmp_path) as hub, Queries(Shop(fails).service, hub) as queries:
        queries.refresh()
        assert len(queries["orders"]) == 5
    delete_hub(tmp_path)
    with hub_in(tmp_path) as hub, Queries(Shop().service, hub) as queries:
        queries.refresh()
        assert len(queries["orders"]) == 0


def test_a_process_that_has_a_deleted_hub_open_does_not_rebuild_for_others(tmp_path: Path):
    with hub_in(tmp_path) as old:
        fill(old, range(5))
        with followed(Shop().service, old) as builder:
            delete_hub(tmp_path)
            with hub_in(tmp_path) as hub, Queries(Shop().service, hub) as queries:
                with pytest.raises(VagusError, match=r"opened another hub.*restart it"):
                    queries.rebuild("orders")
                with pytest.raises(ViewNotBuilt, match=r"another hub.*is to be restarted"):
                    queries["orders"].find()
                builder.close()
                queries.refresh()
                assert keys(queries) == []


def test_a_view_is_built_again_if_a_backup_is_put_in_the_place_of_the_hub(tmp_path: Path):
    with hub_in(tmp_path) as hub:
        fill(hub, range(3))
        hub.backup(str(tmp_path / "monday"))
    built_on = tmp_path / "hub.db"
    with hub_in(tmp_path) as hub:
        fill(hub, range(3, 6))
        with followed(Shop().service, hub) as queries:
            assert len(queries["orders"]) == 6
    delete_hub(tmp_path)
    shutil.copy(tmp_path / "monday", built_on)
    with hub_in(tmp_path) as hub:
        fill(hub, range(100, 104))
        with followed(Shop().service, hub) as queries:
            assert keys(queries) == ["o000", "o001", "o002", "o100", "o101", "o102", "o103"]
