"""Groups of brokers that differ from those of the contract suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AdminClient

from tests.contract.hubs import all_values, read_values, records, settle
from tests.kafka.cluster import Cluster
from vagus.errors import Fenced
from vagus.hub import Hub, TopicConfig, TopicPartition, connect

PARTS = [TopicPartition(topic, number) for topic in ("a", "b") for number in range(4)]
OUT = TopicPartition("out", 0)


@pytest.fixture(scope="module")
def old(brokers: None) -> Iterator[Cluster]:
    """A broker that knows only the older protocol of groups."""
    with Cluster(properties={"group.coordinator.rebalance.protocols": "classic"}) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def hub(old: Cluster) -> Iterator[Hub]:
    with connect(f"kafka://{old.bootstrap}") as made:
        for topic in ("a", "b"):
            made.create_topic(topic, TopicConfig(partitions=4))
        made.create_topic("out", TopicConfig())
        yield made


def test_older_brokers_share_out_the_same_numbers_together(hub: Hub) -> None:
    members = [hub.join("shared", ["a", "b"], session_timeout_s=6.0) for _ in range(2)]
    settle(members, PARTS)
    for member in members:
        numbers = {
            topic: {tp.partition for tp in member.assignment if tp.topic == topic}
            for topic in ("a", "b")
        }
        assert numbers["a"] == numbers["b"]
        assert len(numbers["a"]) == 2
        member.close()


def test_older_brokers_commit_outputs_and_positions_in_one_step(hub: Hub) -> None:
    hub.append([(PARTS[0], records([b"1"]))])
    with hub.join("exact", ["a", "b"], session_timeout_s=6.0) as member:
        read_values(member, 1)
        transaction = member.begin()
        transaction.append([(OUT, records([b"x"]))])
        transaction.commit({PARTS[0]: 1})
        assert all_values(hub, [OUT]) == {OUT: [b"x"]}
        assert hub.committed("exact", PARTS) == {PARTS[0]: 1}


def test_a_member_of_older_brokers_cannot_commit_what_went_to_another(hub: Hub) -> None:
    members = [hub.join("fenced", ["a", "b"], session_timeout_s=6.0) for _ in range(2)]
    settle(members, PARTS)
    foreign = min(members[1].assignment)
    with pytest.raises(Fenced):
        members[0].begin().commit({foreign: 1})
    for member in members:
        member.close()


class _Asked(Exception):
    pass


def test_a_session_that_is_set_already_needs_no_controller(
    kafka: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker waits half a minute for a controller that hangs, and so would who joins."""
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        hub.create_topic("sessions", TopicConfig())
        hub.join("sessions", ["sessions"], session_timeout_s=7.0).close()

        def ask(*_: object, **__: object) -> None:
            raise _Asked

        monkeypatch.setattr(AdminClient, "incremental_alter_configs", ask)
        hub.join("sessions", ["sessions"], session_timeout_s=7.0).close()
        with pytest.raises(_Asked):
            hub.join("sessions", ["sessions"], session_timeout_s=8.0)
