"""Messages of Kafka's client become columns."""

from __future__ import annotations

import random

import pytest
from confluent_kafka import Message

from vagus.hub import TopicPartition
from vagus.hub.kafka import convert


def message(topic: str, partition: int, offset: int) -> Message:
    return Message(
        topic=topic,
        partition=partition,
        offset=offset,
        key=f"{topic}{partition}".encode(),
        value=str(offset).encode(),
        timestamp=(1, 1_700_000_000_000 + offset),
    )


@pytest.mark.parametrize("seed", range(20))
def test_messages_are_told_apart_by_topic_and_partition_in_their_order(seed: int) -> None:
    rng = random.Random(seed)
    places = [(topic, number) for topic in ("a", "b") for number in range(rng.randint(1, 3))]
    given = [message(*rng.choice(places), offset) for offset in range(rng.randint(1, 40))]
    groups = convert.group(given)
    for (topic, number), found in groups.items():
        wanted = [one for one in given if (one.topic(), one.partition()) == (topic, number)]
        assert found == wanted
    assert sum(map(len, groups.values())) == len(given)


def test_columns_hold_what_the_messages_do() -> None:
    place = TopicPartition("a", 0)
    records = convert.columns(place, [message("a", 0, offset) for offset in (3, 4, 7)])
    assert records.keys.to_list() == [b"a0"] * 3
    assert records.values.to_list() == [b"3", b"4", b"7"]
    assert records.timestamps.tolist() == [1_700_000_000_000 + offset for offset in (3, 4, 7)]
    assert (records.offsets.tolist(), records.next_offset) == ([3, 4, 7], 8)
