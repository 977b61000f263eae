"""What a writer on Kafka hears when another one has taken its place."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.hubs import PATIENCE_S, records
from vagus.errors import Fenced
from vagus.hub import TopicConfig, TopicPartition, connect

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster


def test_a_writer_that_was_replaced_hears_it_if_it_only_writes_on(kafka: Cluster) -> None:
    """Kafka's client says no more there than that there was a fatal error."""
    output = TopicPartition("fencing-output", 0)
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        hub.create_topic(output.topic, TopicConfig())
        older = hub.begin("fencing-writer")
        older.append([(output, records([b"x"]))])
        newer = hub.begin("fencing-writer")

        def write_on() -> None:
            deadline = time.monotonic() + PATIENCE_S
            while time.monotonic() < deadline:
                older.append([(output, records([b"y"]))])

        with pytest.raises(Fenced):
            write_on()
        older.abort()
        newer.append([(output, records([b"z"]))])
        newer.commit()


def test_a_hub_closes_after_transactions_that_are_still_held(kafka: Cluster) -> None:
    output = TopicPartition("fencing-held", 0)
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        hub.create_topic(output.topic, TopicConfig())
        held = hub.begin("fencing-held")
        held.append([(output, records([b"x"]))])
        held.commit()
