"""What a process has just written is read without the file, and is what the file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.hubs import all_values, records
from vagus.errors import UnknownTopic
from vagus.hub import Records, TopicConfig, TopicPartition
from vagus.hub.local import LocalHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagus.hub import FetchedRecords

PLACE = TopicPartition("news", 0)
_BYTES = st.none() | st.binary(max_size=6)
_HEADERS = st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=3)), max_size=3).map(tuple)
_ROWS = st.lists(st.tuples(_BYTES, _BYTES, st.integers(0, 9), _HEADERS), min_size=1, max_size=5)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LocalHub]:
    with LocalHub(str(tmp_path / "hub.db")) as opened:
        opened.create_topic(PLACE.topic, TopicConfig())
        yield opened


def _read(hub: LocalHub, at: int, count: int = 100) -> list[FetchedRecords]:
    with hub.reader({PLACE: at}) as reader:
        return reader.read(max_records=count)


def _told(found: list[FetchedRecords]) -> list[object]:
    return [
        (
            each.keys.to_list(),
            each.values.to_list(),
            each.timestamps.tolist(),
            each.headers,
            each.offsets.tolist(),
            each.next_offset,
        )
        for each in found
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ROWS, _ROWS, st.booleans(), st.integers(0, 9), st.integers(1, 12))
def test_it_is_what_others_read(
    hub: LocalHub, before: list, newest: list, headed: bool, back: int, count: int
) -> None:
    for rows in (before, newest):
        keys, values, stamps, headers = map(list, zip(*rows, strict=True))
        written = Records.of(keys, values, stamps, headers if headed else None)
        [first] = hub.append([(PLACE, written)])
    at = first + len(newest) - 1 - back % len(before + newest)
    with LocalHub(hub.url) as other:
        assert _told(_read(hub, at, count)) == _told(_read(other, at, count))


def test_what_is_done_to_the_arguments_afterwards_changes_nothing(hub: LocalHub) -> None:
    keys, values, headers = [b"k"], [b"v"], [(("name", b"x"),)]
    stamps = np.array([7])
    hub.append([(PLACE, Records.of(keys, values, stamps, headers))])
    keys[0], values[0], headers[0], stamps[0] = b"other", b"other", (), 8
    assert _told(_read(hub, 0)) == [([b"k"], [b"v"], [7], [(("name", b"x"),)], [0], 1)]


def test_what_was_taken_back_is_not_read_in_place_of_what_came_then(hub: LocalHub) -> None:
    transaction = hub.begin("writer")
    transaction.append([(PLACE, records([b"lost"]))], located=True)
    with pytest.raises(UnknownTopic):
        transaction.commit(then=lambda _: [(TopicPartition("no", 0), records([b"x"]))])
    with LocalHub(hub.url) as other:
        other.append([(PLACE, records([b"kept"]))])
    assert all_values(hub, [PLACE]) == {PLACE: [b"kept"]}


def test_a_topic_that_is_made_anew_begins_empty(hub: LocalHub) -> None:
    hub.append([(PLACE, records([b"old"]))])
    hub.delete_topic(PLACE.topic)
    hub.create_topic(PLACE.topic, TopicConfig())
    with LocalHub(hub.url) as other:
        other.append([(PLACE, records([b"new"]))])
    assert all_values(hub, [PLACE]) == {PLACE: [b"new"]}


def test_only_so_much_is_kept(hub: LocalHub) -> None:
    hub.create_topic("wide", TopicConfig(partitions=200))
    places = [TopicPartition("wide", number) for number in range(200)]
    hub.append([(place, records([b"x"])) for place in places])
    hub.append([(PLACE, records([bytes(100_000)]))])
    assert len(hub.tail) == 128
    assert all_values(hub, [*places, PLACE]) == {place: [b"x"] for place in places} | {
        PLACE: [bytes(100_000)]
    }
