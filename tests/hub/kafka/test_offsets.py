"""Where partitions begin and end is never made up, whatever happens to who is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.contract.hubs import records
from tests.kafka.cluster import Cluster
from tests.kafka.fixtures import one_at_a_time
from vagus.errors import HubUnavailable
from vagus.hub import TopicConfig, TopicPartition, connect

if TYPE_CHECKING:
    from vagus.hub import Hub

PLACE = TopicPartition("bus", 0)


@one_at_a_time
def test_offsets_are_asked_for_again_when_the_leader_dies(brokers: None) -> None:
    """Kafka's client then says -1001 and that all is well."""
    with Cluster(3) as cluster, connect(f"kafka://{cluster.bootstrap}") as hub:
        hub.create_topic(PLACE.topic, TopicConfig())
        hub.append([(PLACE, records([b"a", b"b"]))])
        assert hub.offsets([PLACE], "latest") == {PLACE: 2}
        cluster.kill(cluster.leader(PLACE.topic))
        assert _answer(hub, "latest") == {PLACE: 2}
        assert _answer(hub, "earliest") == {PLACE: 0}


def _answer(hub: Hub, at: Literal["earliest", "latest"]) -> dict[TopicPartition, int]:
    """What the hub says once brokers have agreed who leads, which may take more than its 9 s."""
    while True:
        try:
            return hub.offsets([PLACE], at)
        except HubUnavailable:
            continue
