"""A store does what a dictionary would do."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.store import FOUND, Store
from vagus.runtime.topic import WINDOW_START

Place = tuple[str, int]
Change = tuple[str, int, int | None]  # key, window's start, the new value or a deletion

_changes = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3), st.none() | st.integers(0, 99)),
    max_size=10,
)


def _store(*, windowed: bool) -> Store:
    return Store("numbers", {"v": pl.Int64()}, pl.String(), windowed=windowed)


def _frame(changes: list[Change], *, windowed: bool, at: int = 0) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            KEY: pl.Series([key for key, _, _ in changes], dtype=pl.String),
            WINDOW_START: pl.Series([start for _, start, _ in changes], dtype=pl.Int64),
            TIME: pl.Series([at] * len(changes), dtype=pl.Int64).cast(TIME_TYPE),
            TOMBSTONE: pl.Series([value is None for _, _, value in changes], dtype=pl.Boolean),
            "v": pl.Series([value for _, _, value in changes], dtype=pl.Int64),
        }
    ).with_columns(pl.col(WINDOW_START).cast(TIME_TYPE))
    return frame if windowed else frame.drop(WINDOW_START)


def _apply(model: dict[Place, int], changes: list[Change], *, windowed: bool) -> None:
    for key, start, value in changes:
        place = (key, start if windowed else 0)
        model.pop(place, None)
        if value is not None:
            model[place] = value


def _content(rows: pl.DataFrame) -> dict[Place, int]:
    starts = (
        rows[WINDOW_START].to_physical().to_list()
        if WINDOW_START in rows.columns
        else [0] * rows.height
    )
    found = dict(zip(zip(rows[KEY], starts, strict=True), rows["v"], strict=True))
    assert len(found) == rows.height, "a key came twice"
    return found


@given(st.lists(_changes, max_size=25), st.booleans())
def test_it_holds_the_last_value_of_each_key(batches: list[list[Change]], windowed: bool) -> None:
    store, model = _store(windowed=windowed), {}
    for at, changes in enumerate(batches):
        store.stage(_frame(changes, windowed=windowed, at=at))
        store.flush()
        _apply(model, changes, windowed=windowed)

        assert len(store) == len(model)
        if at % 3 == 0:  # asking for all rows merges them, which must not always happen
            assert _content(store.rows()) == model

    assert _content(store.rows()) == model
    newest = max((at for at, changes in enumerate(batches) if changes), default=-1)
    assert store.newest_ms == newest


@given(st.lists(_changes, max_size=8), _changes, st.booleans())
def test_it_finds_what_is_asked_for_in_the_order_asked(
    batches: list[list[Change]], asked: list[Change], windowed: bool
) -> None:
    store, model = _store(windowed=windowed), {}
    for changes in batches:
        store.stage(_frame(changes, windowed=windowed))
        store.flush()
        _apply(model, changes, windowed=windowed)

    found = store.lookup(_frame(asked, windowed=windowed))

    places = [(key, start if windowed else 0) for key, start, _ in asked]
    assert found["v"].to_list() == [model.get(place) for place in places]
    assert found[FOUND].to_list() == [place in model for place in places]


@given(st.lists(_changes, max_size=8), st.integers(-1, 4))
def test_it_gives_the_windows_up_to_a_start(batches: list[list[Change]], last: int) -> None:
    store, model = _store(windowed=True), {}
    for changes in batches:
        store.stage(_frame(changes, windowed=True))
        store.flush()
        _apply(model, changes, windowed=True)

    early = {place: value for place, value in model.items() if place[1] <= last}
    assert _content(store.until(last)) == early


@given(st.lists(_changes, max_size=8), st.booleans())
def test_its_changes_make_the_same_store_elsewhere(
    batches: list[list[Change]], windowed: bool
) -> None:
    store, copy = _store(windowed=windowed), _store(windowed=windowed)
    for at, changes in enumerate(batches):
        store.stage(_frame(changes, windowed=windowed, at=at))
        store.flush()
        noted = store.take_changes() if at % 2 else None
        if noted is not None:
            copy.load(noted)
    noted = store.take_changes()
    if noted is not None:
        copy.load(noted)

    assert _content(copy.rows()) == _content(store.rows())
    assert copy.newest_ms == store.newest_ms
    assert store.take_changes() is None


def test_what_is_staged_is_not_seen_before_the_batch_ends() -> None:
    store = _store(windowed=False)
    asked = _frame([("a", 0, None)], windowed=False)

    store.stage(_frame([("a", 0, 1)], windowed=False))
    assert store.lookup(asked)["v"].to_list() == [None]

    store.flush()
    assert store.lookup(asked)["v"].to_list() == [1]


def test_many_deleted_keys_leave_little_behind() -> None:
    store = _store(windowed=False)
    for batch in range(60):
        keys = [(f"{batch}-{number}", 0, number) for number in range(1000)]
        store.stage(_frame(keys, windowed=False))
        store.flush()
        gone: list[Any] = [(key, 0, None) for key, _, _ in keys]
        store.stage(_frame(gone, windowed=False))
        store.flush()

    assert len(store) == 0
    assert store.rows().height == 0
    assert store._slots < 10_000  # of 60,000 that there once were


_writes = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 3), st.integers(0, 99)), max_size=10
)


@given(st.lists(_writes, max_size=25), st.booleans())
def test_a_load_without_deletions_may_hold_a_key_twice(
    batches: list[list[Change]], windowed: bool
) -> None:
    store, model = _store(windowed=windowed), {}
    for changes in batches:
        store.load(_frame(changes, windowed=windowed))
        _apply(model, changes, windowed=windowed)

        assert len(store) == len(model)
    assert _content(store.rows()) == model
