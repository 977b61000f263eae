"""Where partitions begin and end is never made up, whatever happens to who is asked."""

from __future__ import annotations

from tests.contract.hubs import records
from tests.kafka.cluster import Cluster
from vagus.hub import TopicConfig, TopicPartition, connect

PLACE = TopicPartition("bus", 0)


def test_offsets_are_asked_for_again_when_the_leader_dies(brokers: None) -> None:
    """Kafka's client then says -1001 and that all is well."""
    with Cluster(3) as cluster, connect(f"kafka://{cluster.bootstrap}") as hub:
        hub.create_topic(PLACE.topic, TopicConfig())
        hub.append([(PLACE, records([b"a", b"b"]))])
        assert hub.offsets([PLACE], "latest") == {PLACE: 2}
        cluster.kill(cluster.leader(PLACE.topic))
        assert hub.offsets([PLACE], "latest") == {PLACE: 2}
        assert hub.offsets([PLACE], "earliest") == {PLACE: 0}
