"""Topics are made, described, altered and deleted."""

from __future__ import annotations

import pytest

from tests.contract.hubs import all_values, records
from vagus.errors import HubError, TopicExists, UnknownTopic
from vagus.hub import Hub, TopicConfig, TopicPartition


def test_a_new_topic_is_listed_and_described(hub: Hub) -> None:
    config = TopicConfig(partitions=3, cleanup="compact", tombstone_retention_s=60.0)
    hub.create_topic("positions", config)
    info = hub.describe_topic("positions")
    assert "positions" in hub.topics()
    assert info.name == "positions"
    assert info.config == config
    assert [part.partition for part in info.partitions] == [0, 1, 2]
    assert all(part.start_offset == part.end_offset == 0 for part in info.partitions)


def test_topics_are_listed_sorted(hub: Hub) -> None:
    for name in ("pear", "apple", "fig"):
        hub.create_topic(name, TopicConfig())
    assert [name for name in hub.topics() if name in ("pear", "apple", "fig")] == [
        "apple",
        "fig",
        "pear",
    ]


def test_a_topic_cannot_be_made_twice(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig())
    with pytest.raises(TopicExists, match="'a'"):
        hub.create_topic("a", TopicConfig())


@pytest.mark.parametrize("name", ["", ".", "..", "with space", "slash/ed", "é", "x" * 250])
def test_a_name_that_is_not_allowed_is_refused(hub: Hub, name: str) -> None:
    with pytest.raises(HubError):
        hub.create_topic(name, TopicConfig())


def test_the_longest_name_is_allowed(hub: Hub) -> None:
    hub.create_topic("x" * 249, TopicConfig())
    assert "x" * 249 in hub.topics()


@pytest.mark.parametrize(
    "config",
    [
        TopicConfig(partitions=0),
        TopicConfig(retention_s=-2.0),
        TopicConfig(cleanup="shred"),  # type: ignore[arg-type]
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(hub: Hub, config: TopicConfig) -> None:
    with pytest.raises(HubError):
        hub.create_topic("a", config)
    assert "a" not in hub.topics()


def test_an_unknown_topic_is_named_with_the_nearest_one(hub: Hub) -> None:
    hub.create_topic("departure", TopicConfig())
    with pytest.raises(UnknownTopic, match="did you mean 'departure'"):
        hub.describe_topic("depature")


def test_describe_tells_where_partitions_begin_and_end(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig(partitions=2))
    hub.append([(TopicPartition("a", 1), records([b"x", b"y"]))])
    first, second = hub.describe_topic("a").partitions
    assert first.end_offset == 0
    assert second.end_offset >= 2
    assert second.nbytes is None or second.nbytes > 0


def test_retention_and_cleanup_can_be_altered(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig())
    config = TopicConfig(cleanup="compact,delete", retention_s=3600.0, retention_bytes=1 << 20)
    hub.alter_topic("a", config)
    assert hub.describe_topic("a").config == config


def test_partitions_can_be_added_to_a_topic_without_keys(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig(partitions=1))
    hub.append([(TopicPartition("a", 0), records([b"x"]))])
    hub.alter_topic("a", TopicConfig(partitions=3))
    hub.append([(TopicPartition("a", 2), records([b"y"]))])
    assert all_values(hub, [TopicPartition("a", n) for n in range(3)]) == {
        TopicPartition("a", 0): [b"x"],
        TopicPartition("a", 1): [],
        TopicPartition("a", 2): [b"y"],
    }


def test_adding_partitions_to_a_topic_with_keys_must_be_forced(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig(partitions=1))
    hub.append([(TopicPartition("a", 0), records([b"x"], keys=[b"k"]))])
    with pytest.raises(HubError, match="key"):
        hub.alter_topic("a", TopicConfig(partitions=2))
    assert hub.describe_topic("a").config.partitions == 1
    hub.alter_topic("a", TopicConfig(partitions=2), force=True)
    assert hub.describe_topic("a").config.partitions == 2


def test_partitions_are_never_taken_away(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig(partitions=2))
    with pytest.raises(HubError, match="at least 2"):
        hub.alter_topic("a", TopicConfig(partitions=1), force=True)


def test_altering_or_deleting_an_unknown_topic_is_refused(hub: Hub) -> None:
    with pytest.raises(UnknownTopic):
        hub.alter_topic("nothing", TopicConfig())
    with pytest.raises(UnknownTopic):
        hub.delete_topic("nothing")


def test_a_deleted_topic_is_gone_and_its_name_free(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig())
    hub.append([(TopicPartition("a", 0), records([b"old"]))])
    hub.delete_topic("a")
    assert "a" not in hub.topics()
    with pytest.raises(UnknownTopic):
        hub.append([(TopicPartition("a", 0), records([b"x"]))])
    hub.create_topic("a", TopicConfig())
    assert all_values(hub, [TopicPartition("a", 0)]) == {TopicPartition("a", 0): []}
