"""The check that the fault tests rely on sees what is lost, doubled, or out of order."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.kafka.ledger import (
    DEAD_LETTERS,
    STATE_OF_ACCOUNTS,
    STATE_OF_KINDS,
    Ledger,
    Row,
)

Rows = dict[str, list[Row]]


def _ledger() -> Ledger:
    orders = [
        {"number": 0, "account": "a", "kind": "x", "amount": 10},
        {"number": 1, "account": "a", "kind": "y", "amount": 20},
        {"number": 2, "account": "a", "kind": "x", "amount": 30},
    ]
    return Ledger({"a": orders}, {"a": 1})


def _rows() -> Rows:
    """What a sound pipeline makes of it."""
    joined = [
        {"number": 0, "version": None},
        {"number": 1, "version": 0},
        {"number": 2, "version": 1},
    ]
    counted = [
        {"count": 1, "amount": 10, "last": 0},
        {"count": 2, "amount": 30, "last": 1},
        {"count": 3, "amount": 60, "last": 2},
    ]
    x, y = {"count": 2, "amount": 40}, {"count": 1, "amount": 20}
    kinds = [Row(0, 0, "x", {"count": 1, "amount": 10}), Row(0, 1, "x", x), Row(1, 0, "y", y)]
    return {
        "joined": [Row(0, offset, "a", value) for offset, value in enumerate(joined)],
        "counted": [Row(0, offset, "a", value) for offset, value in enumerate(counted)],
        "kind-total": kinds,
        STATE_OF_ACCOUNTS: [Row(0, 0, "a", counted[0]), Row(0, 1, "a", counted[2])],
        STATE_OF_KINDS: kinds,
        DEAD_LETTERS: [],
    }


def test_what_is_sound_passes() -> None:
    _ledger().check(_rows())


def _lost(rows: Rows) -> None:
    del rows["joined"][1]


def _twice(rows: Rows) -> None:
    rows["counted"].append(Row(0, 3, "a", rows["counted"][2].value))


def _swapped(rows: Rows) -> None:
    first, second, _ = rows["joined"]
    rows["joined"][:2] = [Row(0, 0, "a", second.value), Row(0, 1, "a", first.value)]


def _elsewhere(rows: Rows) -> None:
    rows["joined"][2] = Row(1, 0, "a", rows["joined"][2].value)


def _older(rows: Rows) -> None:
    rows["joined"][2].value["version"] = -1


def _unknown(rows: Rows) -> None:
    rows["counted"].append(Row(0, 3, "b", {"count": 1, "amount": 1, "last": 9}))


def _uncounted(rows: Rows) -> None:
    del rows["kind-total"][1]


def _counted_again(rows: Rows) -> None:
    rows["kind-total"].append(rows["kind-total"][1])


def _stale_state(rows: Rows) -> None:
    del rows[STATE_OF_ACCOUNTS][-1]


def _set_apart(rows: Rows) -> None:
    rows[DEAD_LETTERS].append(Row(0, 0, "a", {"error": b"x"}))


@pytest.mark.parametrize(
    "spoil",
    [
        *(_lost, _twice, _swapped, _elsewhere, _older, _unknown, _uncounted, _counted_again),
        *(_stale_state, _set_apart),
    ],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_what_is_wrong_is_seen(spoil: Callable[[Rows], None]) -> None:
    rows = _rows()
    spoil(rows)
    with pytest.raises(AssertionError):
        _ledger().check(rows)
