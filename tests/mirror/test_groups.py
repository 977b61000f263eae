"""Groups' positions among the copies: nothing is read twice, nothing is left out."""

from __future__ import annotations

import pytest

from tests.mirror.conftest import fill, mirror, unread
from vagus.errors import HubError
from vagus.hub import Hub, TopicConfig, TopicPartition

TABLE = TopicPartition("table", 0)
BUS = TopicPartition("bus", 0)


def test_any_position_stands_before_the_same_events(source: Hub, target: Hub) -> None:
    source.create_topic("table", TopicConfig(cleanup="compact"))
    fill(source, "table", 60)
    source.trim({TABLE: 5})
    source.wipe("table")
    fill(source, "table", 20, first=60)
    for position in range(82):
        if position <= 80:
            source.reset_group(f"at-{position}", {TABLE: position})
    mirror(source, target, with_groups=True).copy()
    start = source.offsets([TABLE], "earliest")[TABLE]
    for position in range(81):
        at = target.committed(f"at-{position}", [TABLE])[TABLE]
        expected = unread(source, TABLE, max(position, start))
        assert unread(target, TABLE, at) == expected, position


def test_positions_follow_what_is_copied_later(source: Hub, target: Hub) -> None:
    source.trim({BUS: 10})
    source.reset_group("look", {BUS: 20})
    mirror(source, target, with_groups=True).copy()
    assert target.committed("look", [BUS]) == {BUS: 10}
    fill(source, "bus", 50, first=100)
    source.reset_group("look", {BUS: 60})
    mirror(source, target, with_groups=True).copy()
    assert target.committed("look", [BUS]) == {BUS: 50}


def test_without_being_asked_groups_stay(source: Hub, target: Hub) -> None:
    source.reset_group("look", {BUS: 20})
    mirror(source, target).copy()
    assert target.groups() == []


def test_a_group_that_reads_on_in_the_target_is_not_put_back(source: Hub, target: Hub) -> None:
    source.reset_group("look", {BUS: 20})
    mirror(source, target, with_groups=True).copy()
    target.reset_group("look", {BUS: 30})
    with pytest.raises(HubError, match="no position but the mirror's, got 30"):
        mirror(source, target, with_groups=True).copy()
    assert target.committed("look", [BUS]) == {BUS: 30}


def test_a_group_with_members_in_the_target_is_refused(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    source.reset_group("look", {BUS: 20})
    with target.join("look", ["bus"]) as member:
        member.read()
        with pytest.raises(HubError, match="without members"):
            mirror(source, target, with_groups=True).copy()
