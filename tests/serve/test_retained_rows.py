"""What views ask of a store: single keys, frozen snapshots, rows dropped by age."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.store import Store
from vagus.runtime.topic import WINDOW_START

_HOUR = 3_600_000
_RETENTION = 16 * _HOUR

# A batch: for each key and window the time of its row, and its value; None deletes it.
_batches = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 30)),
        st.tuples(st.integers(0, 30), st.none() | st.integers(0, 9)),
        max_size=8,
    ),
    max_size=12,
)


def _frame(batch: dict[tuple[str, int], tuple[int, int | None]]) -> pl.DataFrame:
    rows = [
        (key, window * _HOUR, (window + late) * _HOUR, value is None, value)
        for (key, window), (late, value) in batch.items()
    ]
    schema = [KEY, WINDOW_START, TIME, TOMBSTONE, "n"]
    kinds = [pl.String, pl.Int64, pl.Int64, pl.Boolean, pl.Int64]
    frame = pl.DataFrame(rows, schema=dict(zip(schema, kinds, strict=True)), orient="row")
    return frame.with_columns(pl.col(WINDOW_START, TIME).cast(TIME_TYPE))


def _held(store: Store) -> dict[tuple[str, int], tuple[int, int]]:
    parts = [frame.filter(pl.Series(live)) for frame, live in store.snapshot()]
    found = {}
    for part in parts:
        plain = part.with_columns(pl.col(WINDOW_START, TIME).to_physical() // _HOUR)
        for key, window, time, value in plain.rows():
            assert (key, window) not in found, "a row counts once"
            found[key, window] = (time, value)
    return found


@given(batches=_batches, keeps=st.booleans())
def test_a_store_holds_what_a_plain_model_does(
    batches: list[dict[tuple[str, int], tuple[int, int | None]]], keeps: bool
) -> None:
    store = Store("s", {"n": pl.Int64()}, pl.String(), windowed=True)
    store.retention_ms = None if keeps else _RETENTION
    model: dict[tuple[str, int], tuple[int, int]] = {}
    newest = -1
    for batch in batches:
        store.load(_frame(batch))
        for place, (late, value) in batch.items():
            time = place[1] + late
            newest = max(newest, time)
            model.pop(place, None)
            if value is not None:
                model[place] = (time, value)
        held = _held(store)
        oldest = newest - 16
        young = {place: row for place, row in model.items() if keeps or row[0] >= oldest}
        # Rows that have just grown too old may stay a little: a sixteenth of the retention.
        assert young.items() <= held.items() <= model.items()
        assert keeps or all(time >= oldest - 1 for time, _ in held.values())
        assert len(store) == len(held)
        model = held
        for key in "abc":
            rows = store.rows_of(key, window_from=3 * _HOUR, window_to=20 * _HOUR)
            windows = sorted(w for k, w in held if k == key and 3 <= w < 20)
            assert [row[-1] for row in rows] == [held[key, window][1] for window in windows]


def test_a_snapshot_stays_as_it_was() -> None:
    store = Store("s", {"n": pl.Int64()}, pl.String(), windowed=True)
    store.load(_frame({("a", 1): (0, 1), ("b", 1): (0, 2)}))
    before = store.snapshot()
    store.load(_frame({("a", 1): (0, 7), ("b", 1): (0, None)}))
    assert [frame.filter(pl.Series(live))["n"].to_list() for frame, live in before] == [[1, 2]]
    assert _held(store) == {("a", 1): (1, 7)}


def test_of_rows_of_one_key_in_a_batch_the_last_counts_even_if_it_is_too_old() -> None:
    store = Store("s", {"n": pl.Int64()}, pl.String(), windowed=True)
    store.retention_ms = _RETENTION
    young, newer, old = ({("a", 40): (late, late)} for late in (1, 30, -40))
    store.load(pl.concat([_frame(young), _frame(newer)]))
    assert _held(store) == {("a", 40): (70, 30)}
    store.load(pl.concat([_frame(young), _frame(old)]))
    assert _held(store) == {}
