"""Appending outside transactions goes on after what Kafka's client calls fatal."""

from __future__ import annotations

import pytest

from tests.contract.hubs import all_values, eventually, records
from tests.kafka.cluster import Cluster
from tests.kafka.fixtures import one_at_a_time
from vagus.errors import HubUnavailable
from vagus.hub import TopicConfig, TopicPartition, connect

TORN = TopicPartition("torn", 0)


@one_at_a_time
def test_after_a_fatal_error_the_next_append_succeeds(brokers: None) -> None:
    """A leader that has lost what was acknowledged doesn't know how far the producer is."""
    with (
        Cluster(3, properties={"unclean.leader.election.enable": "true"}) as cluster,
        connect(f"kafka://{cluster.bootstrap}?replication=2&min.insync.replicas=1") as hub,
    ):
        hub.create_topic(TORN.topic, TopicConfig())
        hub.append([(TORN, records([b"kept"]))])
        leader = cluster.leader(TORN.topic)
        (follower,) = cluster.replicas(TORN.topic) - {leader}
        cluster.freeze(follower)
        cluster.wait_until_in_sync_are(TORN.topic, {leader})
        hub.append([(TORN, records([b"lost"]))])
        cluster.kill(leader)
        cluster.thaw(follower)
        eventually(lambda: cluster.leader(TORN.topic) == follower, "the one that was behind leads")
        with pytest.raises(HubUnavailable, match="not known whether all was stored"):
            hub.append([(TORN, records([b"refused"]))])
        hub.append([(TORN, records([b"new"]))])
        assert all_values(hub, [TORN]) == {TORN: [b"kept", b"new"]}
