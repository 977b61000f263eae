"""Outputs and positions become visible together, or not at all."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pytest

from tests.contract.hubs import PATIENCE_S, HubUnderTest, all_values, read_values, records, settle
from vagus.errors import Fenced, HubError, UnknownTopic
from vagus.hub import Hub, Member, Records, TopicConfig, TopicPartition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Batch = tuple[TopicPartition, Records]

IN, OUT, ALSO = (TopicPartition(name, 0) for name in ("in", "out", "also"))


@pytest.fixture(autouse=True)
def topics(hub: Hub) -> None:
    for name in ("in", "out", "also"):
        hub.create_topic(name, TopicConfig())
    hub.append([(IN, records([b"1", b"2", b"3"]))])


@pytest.fixture
def member(hub: Hub, under_test: HubUnderTest) -> Member:
    made = hub.join("g", ["in"], session_timeout_s=under_test.session_timeout_s)
    settle([made], [IN])
    return made


def heir_of(member: Member, under_test: HubUnderTest) -> Member:
    """Who has taken over from a member that fell silent."""
    under_test.silence(member)
    heir = under_test.connect().join("g", ["in"], session_timeout_s=under_test.session_timeout_s)
    settle([heir], [IN])
    return heir


def test_a_commit_shows_outputs_and_positions(hub: Hub, member: Member) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"x"])), (ALSO, records([b"y"]))])
    transaction.append([(OUT, records([b"z"]))])
    transaction.commit({IN: 2})
    assert all_values(hub, [OUT, ALSO]) == {OUT: [b"x", b"z"], ALSO: [b"y"]}
    assert hub.committed("g", [IN]) == {IN: 2}


def test_nothing_is_seen_before_the_commit(hub: Hub, member: Member) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"x"]))])
    with hub.reader({OUT: 0}) as reader:
        assert reader.read(wait_s=0.05) == []
        transaction.commit({IN: 1})
        assert read_values(reader, 1) == {OUT: [b"x"]}


def test_nothing_of_an_aborted_transaction_is_ever_seen(hub: Hub, member: Member) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"lost"]))])
    transaction.abort()
    transaction.abort()
    transaction = member.begin()
    transaction.append([(OUT, records([b"kept"]))])
    transaction.commit({IN: 1})
    assert all_values(hub, [OUT]) == {OUT: [b"kept"]}


def test_a_member_has_one_transaction_at_a_time(member: Member) -> None:
    transaction = member.begin()
    with pytest.raises(HubError):
        member.begin()
    transaction.abort()
    member.begin().abort()


def test_a_transaction_ends_with_its_commit(hub: Hub, member: Member) -> None:
    transaction = member.begin()
    transaction.commit({IN: 1})
    with pytest.raises(HubError):
        transaction.commit({IN: 2})
    with pytest.raises(HubError):
        transaction.append([(OUT, records([b"x"]))])
    assert hub.committed("g", [IN]) == {IN: 1}


def test_an_unknown_output_is_refused(member: Member) -> None:
    transaction = member.begin()
    with pytest.raises(UnknownTopic):
        transaction.append([(TopicPartition("nothing", 0), records([b"x"]))])
    transaction.abort()


def test_a_replaced_member_commits_nothing(
    hub: Hub, member: Member, under_test: HubUnderTest
) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"zombie"]))])
    heir = heir_of(member, under_test)
    with pytest.raises(Fenced):
        transaction.commit({IN: 3})
    transaction.abort()
    assert hub.committed("g", [IN]) == {}
    assert all_values(hub, [OUT]) == {OUT: []}
    assert read_values(heir, 3) == {IN: [b"1", b"2", b"3"]}


def test_what_a_silent_member_has_left_open_holds_nobody_up(
    hub: Hub, member: Member, under_test: HubUnderTest
) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"zombie"]))])
    _heir = heir_of(member, under_test)
    assert hub.committed("g", [IN]) == {}
    hub.append([(OUT, records([b"x"]))])
    assert all_values(hub, [OUT]) == {OUT: [b"x"]}


def test_a_replaced_member_commits_no_outputs_without_positions_either(
    hub: Hub, member: Member, under_test: HubUnderTest
) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"zombie"]))])
    _heir = heir_of(member, under_test)
    with pytest.raises(Fenced):
        transaction.commit()
    assert all_values(hub, [OUT]) == {OUT: []}


def test_a_transaction_by_id_writes_without_positions(hub: Hub) -> None:
    transaction = hub.begin("orders")
    transaction.append([(OUT, records([b"x"]))])
    transaction.commit()
    assert all_values(hub, [OUT]) == {OUT: [b"x"]}


def test_a_transaction_by_id_has_no_positions(hub: Hub) -> None:
    transaction = hub.begin("orders")
    with pytest.raises(HubError):
        transaction.commit({IN: 1})
    transaction.abort()


def test_a_newer_transaction_of_an_id_fences_the_older(under_test: HubUnderTest) -> None:
    first_hub, second_hub = under_test.connect(), under_test.connect()
    older = first_hub.begin("orders")
    older.append([(OUT, records([b"old"]))])
    newer = second_hub.begin("orders")
    newer.append([(OUT, records([b"new"]))])
    with pytest.raises(Fenced):
        older.commit()
    older.abort()
    newer.commit()
    assert all_values(first_hub, [OUT]) == {OUT: [b"new"]}


def test_transactions_of_different_ids_do_not_fence_each_other(hub: Hub) -> None:
    one, other = hub.begin("one"), hub.begin("other")
    for transaction in (one, other):
        transaction.append([(OUT, records([b"x"]))])
    one.commit()
    other.commit()
    assert all_values(hub, [OUT]) == {OUT: [b"x", b"x"]}


def test_outputs_can_say_where_others_came_to_lie(hub: Hub, member: Member) -> None:
    hub.append([(OUT, records([b"before"]))])
    transaction = member.begin()
    transaction.append([(OUT, records([b"a", b"b"]))], located=True)
    transaction.append([(OUT, records([b"other"])), (IN, records([b"4"]))])
    transaction.append([(OUT, records([b"c"]))], located=True)
    told = []

    def then(places: Mapping[TopicPartition, NDArray[np.int64]]) -> list[Batch]:
        told.append({partition: offsets.tolist() for partition, offsets in places.items()})
        return [(ALSO, records([str(places[OUT].tolist()).encode()]))]

    transaction.commit({IN: 1}, then=then)
    values = {b"a": 0, b"b": 0, b"c": 0}
    with hub.reader({OUT: 0}) as reader:
        while not values[b"c"]:
            for got in reader.read(wait_s=1.0):
                for value, offset in zip(got.values.to_list(), got.offsets.tolist(), strict=True):
                    if value in values:
                        values[value] = offset
    assert told == [{OUT: list(values.values())}]
    assert all_values(hub, [ALSO]) == {ALSO: [str(list(values.values())).encode()]}
    assert hub.committed("g", [IN]) == {IN: 1}


def test_nothing_is_written_if_the_outputs_that_follow_fail(hub: Hub, member: Member) -> None:
    def then(_: Mapping[TopicPartition, NDArray[np.int64]]) -> list[Batch]:
        raise ZeroDivisionError

    transaction = member.begin()
    transaction.append([(OUT, records([b"lost"]))], located=True)
    with pytest.raises(ZeroDivisionError):
        transaction.commit({IN: 1}, then=then)
    transaction.abort()
    transaction = member.begin()
    transaction.append([(OUT, records([b"kept"]))])
    transaction.commit({IN: 2})
    assert all_values(hub, [OUT]) == {OUT: [b"kept"]}
    assert hub.committed("g", [IN]) == {IN: 2}


def test_nothing_is_written_if_the_outputs_that_follow_are_refused(
    hub: Hub, member: Member
) -> None:
    transaction = member.begin()
    transaction.append([(OUT, records([b"lost"]))], located=True)
    with pytest.raises(UnknownTopic):
        transaction.commit({IN: 1}, then=lambda _: [(TopicPartition("no", 0), records([b"x"]))])
    transaction.abort()
    assert all_values(hub, [OUT]) == {OUT: []}
    assert hub.committed("g", [IN]) == {}


def test_what_a_reader_was_sent_at_once_leads_it_to_the_very_end(hub: Hub, member: Member) -> None:
    """Behind a transaction's last event there may be a marker, of which it hears no less."""
    transaction = member.begin()
    transaction.append([(OUT, records([b"x", b"y"]))])
    transaction.commit({IN: 1})
    transaction = member.begin()  # none begins before the one before it has all its markers
    transaction.append([(ALSO, records([b"z"]))])
    transaction.commit({IN: 2})
    end = hub.offsets([OUT], "latest")[OUT]
    with hub.reader({OUT: 0}) as late, hub.reader({OUT: 0}) as early:
        deadline = time.monotonic() + PATIENCE_S
        for reader in (early, late):  # by then the other one's are waiting for it
            while reader.positions()[OUT] < end:
                assert time.monotonic() < deadline, f"{reader.positions()}, not {end}"
                reader.read(wait_s=0.1)
        assert late.positions() == late.ends() == {OUT: end}
