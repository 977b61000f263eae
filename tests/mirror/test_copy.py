"""Copies of topics."""

from __future__ import annotations

import pytest

from tests.mirror.conftest import everything, fill, mirror
from vagus.errors import Fenced, HubError
from vagus.hub import Hub, Records, TopicConfig, TopicPartition

BUS = TopicPartition("bus", 0)


def test_events_are_copied_with_keys_times_and_headers(source: Hub, target: Hub) -> None:
    assert mirror(source, target).copy() == 100
    assert everything(target, "bus") == everything(source, "bus")


def test_a_topic_keeps_its_settings(source: Hub, target: Hub) -> None:
    config = TopicConfig(
        partitions=3,
        cleanup="compact,delete",
        retention_s=3600.0,
        retention_bytes=1 << 20,
        tombstone_retention_s=60.0,
    )
    source.create_topic("kept", config)
    mirror(source, target).copy()
    assert target.describe_topic("kept").config == config


def test_a_second_mirror_copies_only_what_is_new(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    assert mirror(source, target).copy() == 0
    fill(source, "bus", 30, first=100)
    assert mirror(source, target).copy() == 30
    assert everything(target, "bus") == everything(source, "bus")


def test_a_mirror_goes_on_with_what_comes(source: Hub, target: Hub) -> None:
    at_work = mirror(source, target)
    at_work.copy()
    fill(source, "bus", 30, first=100)
    assert at_work.copy() == 30
    assert everything(target, "bus") == everything(source, "bus")


def test_only_topics_that_match_are_copied(source: Hub, target: Hub) -> None:
    source.create_topic("train", TopicConfig())
    mirror(source, target, pattern="tr*").copy()
    assert [name for name in target.topics() if not name.startswith("_")] == ["train"]


@pytest.mark.parametrize("pattern", ["*", "_*"])
def test_keys_of_persons_stay_where_they_are(source: Hub, target: Hub, pattern: str) -> None:
    source.create_topic("_vagus-personal-keys", TopicConfig(cleanup="compact"))
    mirror(source, target, pattern=pattern).copy()
    assert "_vagus-personal-keys" not in target.topics()


def test_a_trimmed_topic_is_copied_from_its_start(source: Hub, target: Hub) -> None:
    source.trim({BUS: 20})
    assert mirror(source, target).copy() == 80
    assert everything(target, "bus") == everything(source, "bus")


def test_a_compacted_topic_with_gaps_is_copied(source: Hub, target: Hub) -> None:
    source.create_topic("table", TopicConfig(partitions=2, cleanup="compact"))
    fill(source, "table", 200)
    source.wipe("table")
    fill(source, "table", 20, first=200)
    mirror(source, target).copy()
    assert everything(target, "table") == everything(source, "table")


def test_compaction_between_two_mirrors_loses_nothing(source: Hub, target: Hub) -> None:
    source.create_topic("table", TopicConfig(cleanup="compact"))
    fill(source, "table", 100)
    mirror(source, target).copy()
    fill(source, "table", 100, first=100)
    source.wipe("table")
    again = mirror(source, target)
    again.copy()
    assert all(each.same for each in again.verify())


def test_more_partitions_in_the_source_are_added_to_the_copy(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    source.alter_topic("bus", TopicConfig(partitions=4), force=True)
    fill(source, "bus", 40, first=100)
    mirror(source, target).copy()
    assert everything(target, "bus") == everything(source, "bus")


def test_a_topic_with_events_of_others_is_refused(source: Hub, target: Hub) -> None:
    target.create_topic("bus", TopicConfig(partitions=2))
    fill(target, "bus", 1)
    with pytest.raises(HubError, match="empty or was made by this mirror"):
        mirror(source, target).copy()


def test_an_empty_topic_with_the_same_partitions_is_filled(source: Hub, target: Hub) -> None:
    target.create_topic("bus", TopicConfig(partitions=2))
    mirror(source, target).copy()
    assert everything(target, "bus") == everything(source, "bus")


def test_an_empty_topic_with_other_partitions_is_refused(source: Hub, target: Hub) -> None:
    target.create_topic("bus", TopicConfig(partitions=3))
    with pytest.raises(HubError, match=r"expected 2 partitions as in the source, got 3.*delete"):
        mirror(source, target).copy()


def test_a_copy_from_another_hub_is_refused(source: Hub, target: Hub) -> None:
    mirror(source, target, name="one").copy()
    with pytest.raises(HubError, match="a copy from two, got one from one"):
        mirror(source, target, name="two").copy()


def test_a_copy_that_others_have_written_to_is_refused(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    fill(target, "bus", 2)
    with pytest.raises(HubError, match="no events but the mirror's"):
        mirror(source, target).copy()


def test_a_source_made_anew_is_noticed(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    source.delete_topic("bus")
    source.create_topic("bus", TopicConfig(partitions=2))
    with pytest.raises(HubError, match="made anew"):
        mirror(source, target).copy()


def test_a_source_made_anew_and_longer_is_noticed(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    source.delete_topic("bus")
    source.create_topic("bus", TopicConfig(partitions=2))
    fill(source, "bus", 300, first=1000)
    with pytest.raises(HubError, match="made anew"):
        mirror(source, target).copy()


def test_a_copy_made_anew_by_others_is_noticed(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    target.delete_topic("bus")
    target.create_topic("bus", TopicConfig(partitions=2))
    with pytest.raises(HubError, match="made by this mirror, got one that was made anew"):
        mirror(source, target).copy()


def test_a_deleted_copy_is_copied_anew(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    target.delete_topic("bus")
    assert mirror(source, target).copy() == 100
    assert everything(target, "bus") == everything(source, "bus")


def test_events_that_went_before_they_were_copied_are_an_error(source: Hub, target: Hub) -> None:
    mirror(source, target).copy()
    fill(source, "bus", 100, first=100)
    source.trim({BUS: 60})
    with pytest.raises(HubError, match="from offset 50 on, got 60 as the first that is kept"):
        mirror(source, target).copy()


def test_events_of_an_empty_topic_that_went_before_they_were_copied_are_an_error(
    source: Hub, target: Hub
) -> None:
    source.create_topic("train", TopicConfig())
    mirror(source, target).copy()
    fill(source, "train", 10)
    source.trim({TopicPartition("train", 0): 4})
    with pytest.raises(HubError, match="from offset 0 on, got 4 as the first"):
        mirror(source, target).copy()


def test_a_repartition_topic_may_be_trimmed_meanwhile_and_it_is_told(
    source: Hub, target: Hub
) -> None:
    told: list[str] = []
    place = TopicPartition("fleet-sum-repartition", 0)
    source.create_topic(place.topic, TopicConfig())
    fill(source, place.topic, 10)
    mirror(source, target).copy()
    fill(source, place.topic, 10, first=10)
    source.trim({place: 15})
    mirror(source, target, tell=told.append).copy()
    assert told == ["fleet-sum-repartition[0]: passed over 5 offsets that were processed"]
    assert len(everything(target, place.topic)[0]) == 15


def test_a_newer_mirror_fences_an_older_one(source: Hub, target: Hub) -> None:
    older, newer = mirror(source, target), mirror(source, target)
    older.copy()
    newer.copy()
    fill(source, "bus", 30, first=100)
    newer.copy()
    fill(source, "bus", 30, first=130)
    with pytest.raises(Fenced, match="newer one at work"):
        older.copy()
    newer.copy()
    assert everything(target, "bus") == everything(source, "bus")


def test_one_hub_is_not_copied_to_itself(source: Hub) -> None:
    with pytest.raises(HubError, match="one and the same"):
        mirror(source, source, name=None)


def test_a_step_holds_many_partitions_and_batches(
    source: Hub, target: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.hub.mirror.mirror.STEP_RECORDS", 30)
    for number in range(5):
        fill(source, "bus", 40, first=100 + 40 * number)
    source.append([(BUS, Records.of([None], [None], [0]))])
    mirror(source, target).copy()
    assert everything(target, "bus") == everything(source, "bus")
