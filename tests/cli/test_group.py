"""`vagus group`."""

from __future__ import annotations

import io

import pytest

import vagus as vg


@pytest.fixture
def group(vagus, bus) -> str:
    """A group that has read all of the bus's three events."""
    vagus("consume", bus, "--group", "billing")
    return "billing"


def test_groups_are_listed_with_their_lag(vagus, bus, group):
    vagus("produce", bus, "positions.jsonl", "--key", "bus_id")
    assert vagus("group", "list", "--json").json == [
        {"group": "billing", "members": 0, "topics": "bus", "lag": 3}
    ]


def test_describe_shows_position_and_end(vagus, group):
    [row] = vagus("group", "describe", group, "--json").json["partitions"]
    assert (row["position"], row["end"], row["lag"], row["member"]) == (3, 3, 0, None)


@pytest.mark.parametrize(
    ("place", "position"), [("earliest", 0), ("1", 1), ("2026-01-31T12:01", 2), ("latest", 3)]
)
def test_reset_moves_the_positions(vagus, group, place: str, position: int):
    vagus("group", "reset", group, "--to", place, "--yes")
    [row] = vagus("group", "describe", group, "--json").json["partitions"]
    assert row["position"] == position


def test_reset_asks_first(vagus, group, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    vagus("group", "reset", group, "--to", "earliest", code=2)
    assert vagus("group", "list", "--json").json[0]["lag"] == 0


def test_reset_is_refused_while_the_group_has_members(vagus, bus, group):
    with vg.connect("vagus.db") as hub, hub.join(group, [bus]) as member:
        member.read()
        vagus("group", "reset", group, "--to", "earliest", "--yes", code=1)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["describe", "biling"], "did you mean 'billing'?"),
        (["reset", "billing", "--to", "earliest", "--topic", "buss"], "did you mean 'bus'?"),
        (["reset", "billing", "--to", "soon"], "an age such as 10m"),
    ],
)
def test_wrong_names_are_one_line(vagus, group, words: list[str], told: str):
    assert told in vagus("group", *words, code=1).err
