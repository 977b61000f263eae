"""What Kafka's client hands out in one go becomes events and positions in the right order."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from confluent_kafka import KafkaError, Message

from tests.contract.cluster import clean
from tests.contract.hubs import records
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.hub.kafka.reader import KafkaReader

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

PLACE = TopicPartition("marked", 0)


def message(offset: int, error: KafkaError | None = None) -> Message:
    value = None if error else b"x"
    return Message(
        topic=PLACE.topic, partition=0, offset=offset, value=value, error=error, timestamp=(1, 5)
    )


def test_an_end_that_comes_with_the_last_events_is_behind_them(kafka: Cluster) -> None:
    """The mark of a commit lies between: a reader that stopped before it would wait for ever."""
    clean(kafka.bootstrap)
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        hub.create_topic(PLACE.topic, TopicConfig())
        hub.append([(PLACE, records([b"1", b"2", b"3"]))])
        with hub.reader({PLACE: 0}) as reader:
            assert isinstance(reader, KafkaReader)
            came = [message(0), message(1), message(3, KafkaError(KafkaError._PARTITION_EOF))]
            with patch.object(reader, "_fetch", lambda *bounds: reader._keep(came)):
                (read,) = reader.read()
            assert read.next_offset == 3
            assert reader.positions() == {PLACE: 3}
    clean(kafka.bootstrap)
