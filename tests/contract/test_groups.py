"""Members of a group share partitions, commit positions, and take over from each other."""

from __future__ import annotations

import pytest

from tests.contract.hubs import HubUnderTest, eventually, read_values, records, settle
from vagus.errors import Fenced, HubError, UnknownGroup, UnknownTopic
from vagus.hub import Hub, Member, TopicConfig, TopicPartition


def parts(topic: str, count: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(count)]


A = parts("a", 4)
B = parts("b", 4)


@pytest.fixture(autouse=True)
def topics(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig(partitions=4))
    hub.create_topic("b", TopicConfig(partitions=4))


def test_a_lone_member_gets_every_partition(hub: Hub) -> None:
    with hub.join("g", ["a", "b"]) as member:
        settle([member], A + B)


def test_a_join_to_an_unknown_topic_is_refused(hub: Hub) -> None:
    with pytest.raises(UnknownTopic):
        hub.join("g", ["a", "nothing"])


def test_same_partition_numbers_go_to_the_same_member(under_test: HubUnderTest) -> None:
    members = [under_test.connect().join("g", ["a", "b"]) for _ in range(3)]
    settle(members, A + B)
    for member in members:
        in_a = {part.partition for part in member.assignment if part.topic == "a"}
        in_b = {part.partition for part in member.assignment if part.topic == "b"}
        assert in_a == in_b
        assert in_a


def test_partitions_are_shared_out_evenly(under_test: HubUnderTest) -> None:
    members = [under_test.connect().join("g", ["a"]) for _ in range(2)]
    settle(members, A)
    assert [len(member.assignment) for member in members] == [2, 2]


def test_a_member_without_partitions_waits_for_some(under_test: HubUnderTest) -> None:
    members = [under_test.connect().join("g", ["a"]) for _ in range(5)]
    settle(members, A)
    assert sorted(len(member.assignment) for member in members) == [0, 1, 1, 1, 1]


def test_callbacks_tell_of_every_change_within_read(under_test: HubUnderTest) -> None:
    owned: set[TopicPartition] = set()
    first = under_test.connect().join(
        "g", ["a"], on_assigned=owned.update, on_revoked=owned.difference_update
    )
    assert not owned
    settle([first], A)
    assert owned == set(A)
    second = under_test.connect().join("g", ["a"])
    settle([first, second], A)
    assert owned == first.assignment
    assert len(owned) == 2


def test_work_can_be_committed_while_partitions_are_revoked(under_test: HubUnderTest) -> None:
    hub = under_test.connect()
    hub.append([(part, records([b"x"])) for part in A])
    revoked: list[TopicPartition] = []

    def commit(gone: object) -> None:
        revoked.extend(gone)  # type: ignore[call-overload]
        first.commit(dict.fromkeys(revoked, 1))

    first = hub.join("g", ["a"], on_revoked=commit)
    settle([first], A)
    second = under_test.connect().join("g", ["a"])
    settle([first, second], A)
    assert revoked
    positions = {**first.positions(), **second.positions()}
    assert {part: positions[part] for part in revoked} == dict.fromkeys(revoked, 1)


def test_the_generation_grows_with_each_change(under_test: HubUnderTest) -> None:
    first = under_test.connect().join("g", ["a"])
    settle([first], A)
    alone = first.generation
    second = under_test.connect().join("g", ["a"])
    settle([first, second], A)
    both = first.generation
    second.close()
    settle([first], A)
    assert alone < both < first.generation


def test_a_leaving_member_hands_over_at_its_committed_position(under_test: HubUnderTest) -> None:
    hub = under_test.connect()
    hub.append([(A[0], records([b"1", b"2", b"3"]))])
    first = hub.join("g", ["a"])
    read_values(first, 3)
    first.commit({A[0]: 2})
    first.close()
    second = under_test.connect().join("g", ["a"])
    assert read_values(second, 1) == {A[0]: [b"3"]}


def test_without_a_position_a_group_starts_at_the_place_given(under_test: HubUnderTest) -> None:
    hub = under_test.connect()
    hub.append([(A[0], records([b"old"]))])
    early = hub.join("early", ["a"], start="earliest")
    late = hub.join("late", ["a"], start="latest")
    settle([early], A)
    settle([late], A)
    hub.append([(A[0], records([b"new"]))])
    assert read_values(early, 2) == {A[0]: [b"old", b"new"]}
    assert read_values(late, 1) == {A[0]: [b"new"]}


def test_a_silent_member_loses_its_partitions_and_is_fenced(under_test: HubUnderTest) -> None:
    timeout_s = under_test.session_timeout_s
    hub = under_test.connect()
    hub.append([(part, records([b"x"])) for part in A])
    silent = hub.join("g", ["a"], session_timeout_s=timeout_s)
    settle([silent], A)
    under_test.silence(silent)
    heir = under_test.connect().join("g", ["a"], session_timeout_s=timeout_s)
    settle([heir], A)
    with pytest.raises(Fenced):
        silent.commit({A[0]: 1})
    with pytest.raises(Fenced):
        silent.read()
    assert hub.committed("g", A) == {}


def test_a_member_cannot_commit_what_another_owns(under_test: HubUnderTest) -> None:
    hub = under_test.connect()
    hub.append([(part, records([b"x"])) for part in A])
    members = [hub.join("g", ["a"]), under_test.connect().join("g", ["a"])]
    settle(members, A)
    foreign = min(members[1].assignment)
    with pytest.raises(Fenced):
        members[0].commit({foreign: 1})
    assert hub.committed("g", A) == {}


def test_added_partitions_are_assigned(hub: Hub) -> None:
    with hub.join("g", ["a"]) as member:
        settle([member], A)
        hub.alter_topic("a", TopicConfig(partitions=6))
        settle([member], parts("a", 6))


def test_groups_are_listed_and_described_with_their_lag(hub: Hub) -> None:
    hub.append([(A[0], records([b"1", b"2", b"3"]))])
    with hub.join("g", ["a"], client_id="worker") as member:
        read_values(member, 3)
        member.commit({A[0]: 1})
        info = hub.describe_group("g")
        assert "g" in hub.groups()
        assert info.name == "g"
        assert info.positions == {A[0]: 1}
        assert info.lag == {A[0]: hub.offsets([A[0]], "latest")[A[0]] - 1}
        assert [(one.client_id, one.assignment) for one in info.members] == [
            ("worker", frozenset(A))
        ]
    eventually(lambda: not hub.describe_group("g").members, "the member had left")


def test_an_unknown_group_is_named_with_the_nearest_one(hub: Hub) -> None:
    hub.join("fleet", ["a"]).close()
    with pytest.raises(UnknownGroup, match="did you mean 'fleet'"):
        hub.describe_group("flet")


def test_committed_leaves_out_partitions_without_a_position(hub: Hub) -> None:
    hub.append([(A[0], records([b"x"]))])
    with hub.join("g", ["a"]) as member:
        settle([member], A)
        member.commit({A[0]: 1})
    assert hub.committed("g", A) == {A[0]: 1}
    assert hub.committed("another", A) == {}


def test_a_reset_group_reads_again(hub: Hub) -> None:
    hub.append([(A[0], records([b"1", b"2"]))])
    with hub.join("g", ["a"]) as member:
        read_values(member, 2)
        member.commit({A[0]: 2})
    hub.reset_group("g", {A[0]: 0})
    with hub.join("g", ["a"]) as member:
        assert read_values(member, 2) == {A[0]: [b"1", b"2"]}


def test_a_group_with_members_is_not_reset(hub: Hub) -> None:
    with hub.join("g", ["a"]) as member:
        settle([member], A)
        with pytest.raises(HubError):
            hub.reset_group("g", {A[0]: 0})


def test_a_member_reads_on_where_it_seeks(hub: Hub) -> None:
    hub.append([(A[0], records([b"1", b"2"]))])
    with hub.join("g", ["a"]) as member:
        read_values(member, 2)
        member.seek(A[0], 1)
        assert read_values(member, 1) == {A[0]: [b"2"]}


def test_two_groups_read_independently(hub: Hub) -> None:
    hub.append([(A[0], records([b"x"]))])
    members: list[Member] = [hub.join("g", ["a"]), hub.join("h", ["a"])]
    for member in members:
        assert read_values(member, 1) == {A[0]: [b"x"]}
