"""Two hubs, and short ways to fill and to compare them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from vagus.hub import Hub, Records, TopicConfig, TopicPartition, connect
from vagus.hub.mirror import Mirror


def everything(hub: Hub, topic: str) -> dict[int, list[tuple[Any, ...]]]:
    """All records of a topic, for each partition."""
    found: dict[int, list[tuple[Any, ...]]] = {}
    for part in hub.describe_topic(topic).partitions:
        rows = found.setdefault(part.partition, [])
        place = TopicPartition(topic, part.partition)
        with hub.reader({place: part.start_offset}) as reader:
            while reader.positions()[place] < part.end_offset:
                for read in reader.read(wait_s=1.0):
                    headers = read.headers or [()] * len(read)
                    rows += zip(
                        read.keys.to_list(),
                        read.values.to_list(),
                        read.timestamps.tolist(),
                        headers,
                        strict=True,
                    )
    return found


def unread(hub: Hub, place: TopicPartition, position: int) -> list[bytes | None]:
    """The values from a position on."""
    end = hub.offsets([place], "latest")[place]
    found: list[bytes | None] = []
    with hub.reader({place: position}) as reader:
        while reader.positions()[place] < end:
            for read in reader.read(wait_s=1.0):
                found += read.values.to_list()
    return found


def fill(hub: Hub, topic: str, count: int, first: int = 0) -> None:
    """Append numbered events to the partitions in turn, with and without headers and values."""
    partitions = len(hub.describe_topic(topic).partitions)
    for partition in range(partitions):
        numbers = range(first + partition, first + count, partitions)
        records = Records.of(
            [b"key-%d" % (n % 7) for n in numbers],
            [b"value-%d" % n if n % 5 else None for n in numbers],
            [1_700_000_000_000 + n for n in numbers],
            [(("number", b"%d" % n),) if n % 3 else () for n in numbers],
        )
        hub.append([(TopicPartition(topic, partition), records)])


def mirror(source: Hub, target: Hub, **options: Any) -> Mirror:
    """A mirror that begins, as another process would."""
    return Mirror(source, target, **{"name": "source", **options})


@pytest.fixture
def source() -> Iterator[Hub]:
    with connect(":memory:") as hub:
        hub.create_topic("bus", TopicConfig(partitions=2))
        fill(hub, "bus", 100)
        yield hub


@pytest.fixture
def target() -> Iterator[Hub]:
    with connect(":memory:") as hub:
        yield hub


@pytest.fixture
def seed() -> int:
    """A new seed each time, or the one in VAGUS_SEED."""
    chosen = int(os.environ.get("VAGUS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"repeat with VAGUS_SEED={chosen}")
    return chosen
