"""Housekeeping packs, expires and compacts; offsets never change.

And the file doesn't grow for ever.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.hubs import all_values, eventually, records
from vagus.errors import OffsetOutOfRange
from vagus.hub import Records, TopicConfig, TopicPartition
from vagus.hub.local import LocalHub, background, batch
from vagus.hub.local.checkpointer import DUE_BYTES
from vagus.hub.local.housekeeping import plan

A0 = TopicPartition("a", 0)
Row = tuple[int, bytes | None, bytes | None]


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hub(tmp_path: Path, clock: Clock) -> Iterator[LocalHub]:
    with LocalHub(str(tmp_path / "hub.db"), clock=clock) as made:
        yield made


def content(hub: LocalHub) -> list[Row]:
    rows: list[Row] = []
    with hub.reader(hub.offsets([A0], "earliest")) as reader:
        while got := reader.read():
            for one in got:
                columns = one.offsets.tolist(), one.keys.to_list(), one.values.to_list()
                rows += zip(*columns, strict=True)
    return rows


def test_packing_makes_large_batches_and_changes_no_record(hub: LocalHub) -> None:
    hub.create_topic("a", TopicConfig())
    for number in range(300):
        headers = [(("n", b"%d" % number),)] if number % 3 else None
        key = b"k" if number % 2 else None
        hub.append([(A0, Records.of([key], [b"%d" % number], [number], headers))], acks="leader")
    before = content(hub)
    assert hub.info().batches == 300
    hub.housekeep()
    assert hub.info().batches == 1
    assert content(hub) == before
    with hub.reader({A0: 100}) as reader:
        (got,) = reader.read(max_records=2)
    assert got.timestamps.tolist() == [100, 101]
    assert got.headers == [(("n", b"100"),), (("n", b"101"),)]
    assert hub.offsets([A0], 250) == {A0: 250}
    assert hub.check().ok


@given(st.lists(st.integers(1, 2 * batch.TARGET_BYTES), max_size=60), st.booleans())
def test_a_packing_plan_takes_only_small_neighbours(sizes: list[int], thorough: bool) -> None:
    runs = plan(sizes, thorough=thorough)
    assert all(stop - start > 1 for start, stop in runs)
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(runs))
    for start, stop in runs:
        assert max(sizes[start:stop]) <= batch.TARGET_BYTES // 2
        assert sum(sizes[start:stop]) <= batch.TARGET_BYTES * 3 // 2


def test_a_growing_end_is_rewritten_but_a_few_times() -> None:
    sizes: list[int] = []
    rewritten = 0
    for _ in range(2000):
        sizes.append(200)
        for start, stop in reversed(plan(sizes, thorough=False)):
            rewritten += sum(sizes[start:stop])
            sizes[start:stop] = [sum(sizes[start:stop])]
    assert rewritten < 12 * 2000 * 200
    assert len(sizes) < 100


def test_retention_by_time_removes_old_batches(hub: LocalHub, clock: Clock) -> None:
    hub.create_topic("a", TopicConfig(retention_s=60.0))
    now_ms = int(clock.now * 1000)
    for age_s in (100, 61, 59, 0):
        hub.append([(A0, records([b"%d" % age_s], timestamps=[now_ms - age_s * 1000]))])
    hub.housekeep()
    assert all_values(hub, [A0]) == {A0: [b"59", b"0"]}
    assert hub.offsets([A0], "earliest") == {A0: 2}
    clock.now += 3600
    hub.housekeep()
    assert hub.offsets([A0], "earliest") == hub.offsets([A0], "latest") == {A0: 4}
    assert hub.append([(A0, records([b"next"]))]) == [4]


def test_retention_by_size_keeps_at_least_what_was_asked(hub: LocalHub) -> None:
    hub.create_topic("a", TopicConfig(retention_bytes=50_000))
    for _ in range(100):
        hub.append([(A0, records([b"." * 2000]))], acks="leader")
    hub.housekeep()
    (info,) = hub.describe_topic("a").partitions
    assert 50_000 <= info.nbytes < 53_000
    assert info.start_offset > 0


def test_a_reader_below_the_start_is_told(hub: LocalHub, clock: Clock) -> None:
    hub.create_topic("a", TopicConfig(retention_s=60.0))
    hub.append([(A0, records([b"old"], timestamps=[0]))])
    hub.append([(A0, records([b"new"], timestamps=[int(clock.now * 1000)]))])
    hub.housekeep()
    with hub.reader({A0: 0}) as reader, pytest.raises(OffsetOutOfRange, match="no longer kept"):
        reader.read()


def test_without_retention_nothing_is_removed(hub: LocalHub, clock: Clock) -> None:
    hub.create_topic("a", TopicConfig())
    hub.append([(A0, records([b"old"], timestamps=[0]))])
    clock.now += 1e9
    hub.housekeep()
    assert all_values(hub, [A0]) == {A0: [b"old"]}


@pytest.mark.parametrize("turn", range(5))
def test_compaction_keeps_the_last_of_each_key_at_its_offset(
    hub: LocalHub, clock: Clock, turn: int
) -> None:
    print(f"seed {turn}")
    rng = random.Random(turn)
    hub.create_topic("a", TopicConfig(cleanup="compact", tombstone_retention_s=100.0))
    written: list[Row] = []
    for step in range(40):
        count = rng.randint(1, 30)
        keys = [b"%d" % rng.randrange(25) for _ in range(count)]
        values = [None if rng.random() < 0.2 else rng.randbytes(5) for _ in range(count)]
        (first,) = hub.append([(A0, records(values, keys))], acks="leader")
        written += zip(range(first, first + count), keys, values, strict=True)
        if step % 7 == 6:
            hub.housekeep()
            kept = content(hub)
            assert set(kept) <= set(written)
            assert latest(kept) == latest(written), "a key lost its last value"
            assert kept == sorted(kept)
    before_end = content(hub)
    (base,) = hub.append([(A0, records([b"end"], [b"end"]))])
    hub.housekeep()
    last = {key: offset for offset, key, _ in written}
    assert [row for row in content(hub) if row[0] < base] == [
        row for row in before_end if last[row[1]] == row[0]
    ]
    clock.now += 200
    for _ in range(2):  # the batch that was written last is left alone until there is a newer one
        hub.append([(A0, records([b"more"], [b"more"]))])
        hub.housekeep()
    assert all(value is not None for _, _, value in content(hub))
    assert (
        latest(content(hub)).items()
        >= {key: value for key, value in latest(written).items() if value is not None}.items()
    )
    assert hub.check().ok


def latest(rows: list[Row]) -> dict[bytes | None, bytes | None]:
    return {key: value for _, key, value in rows}


def test_a_tombstone_stays_for_its_retention(hub: LocalHub, clock: Clock) -> None:
    hub.create_topic("a", TopicConfig(cleanup="compact", tombstone_retention_s=100.0))
    hub.append([(A0, records([b"v"], [b"gone"]))])
    hub.append([(A0, records([None], [b"gone"]))])
    hub.append([(A0, records([b"v"], [b"other"]))])
    clock.now += 99
    hub.housekeep()
    assert [(key, value) for _, key, value in content(hub)] == [(b"gone", None), (b"other", b"v")]
    clock.now += 2
    hub.append([(A0, records([b"v"], [b"third"]))])
    hub.housekeep()
    assert [key for _, key, _ in content(hub)] == [b"other", b"third"]


def test_a_reader_passes_over_what_was_compacted_away(hub: LocalHub) -> None:
    hub.create_topic("a", TopicConfig(cleanup="compact"))
    for number in range(10):
        hub.append([(A0, records([b"%d" % number], [b"k"]))])
    with hub.reader({A0: 2}) as reader:
        hub.housekeep()
        assert [got.values.to_list() for got in reader.read()] == [[b"8", b"9"]]
        assert reader.positions() == {A0: 10}


def test_the_file_shrinks_when_events_are_removed(hub: LocalHub, clock: Clock) -> None:
    hub.create_topic("a", TopicConfig(retention_s=60.0))
    for _ in range(40):
        now_ms = int(clock.now * 1000)
        hub.append([(A0, records([random.randbytes(500_000)], timestamps=[now_ms]))])
    hub.housekeep()
    large = Path(hub.url).stat().st_size
    clock.now += 3600
    hub.housekeep()
    assert large > 20_000_000
    assert Path(hub.url).stat().st_size < 1_000_000


def test_the_space_of_a_deleted_topic_is_given_back(hub: LocalHub) -> None:
    hub.create_topic("a", TopicConfig())
    hub.create_topic("b", TopicConfig())
    hub.append([(A0, records([random.randbytes(5_000_000)]))])
    hub.append([(TopicPartition("b", 0), records([b"stays"]))])
    hub.delete_topic("a")
    hub.housekeep()
    assert Path(hub.url).stat().st_size < 1_000_000
    assert all_values(hub, [TopicPartition("b", 0)]) == {TopicPartition("b", 0): [b"stays"]}


def test_housekeeping_happens_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "HOUSEKEEPING_EVERY_S", 0.05)
    with LocalHub(str(tmp_path / "own.db")) as hub:
        hub.create_topic("a", TopicConfig())
        for number in range(50):
            hub.append([(A0, records([b"%d" % number]))], acks="leader")
        eventually(lambda: hub.info().batches < 15, "small batches were packed")
        assert all_values(hub, [A0]) == {A0: [b"%d" % number for number in range(50)]}


def test_what_was_trimmed_leaves_the_file_and_the_rest_checks_out(hub: LocalHub) -> None:
    hub.create_topic("a", TopicConfig())
    for number in range(4):
        hub.append([(A0, records([b"%d" % number * 50_000, b"%d!" % number]))])
    before = hub.info().record_bytes
    hub.trim({A0: 5})
    assert hub.info().record_bytes < before
    assert content(hub)[0][2] == b"2!"
    hub.housekeep()
    assert [offset for offset, _, _ in content(hub)] == [5, 6, 7]
    assert hub.check().ok


def test_small_commits_do_not_let_the_log_grow(tmp_path: Path) -> None:
    """Each writes whole pages; the log is begun anew after some hundreds of them."""
    with LocalHub(str(tmp_path / "hub.db")) as hub:
        hub.create_topic("a", TopicConfig())
        for _ in range(4_000):
            hub.append([(A0, records([b"x"]))], acks="leader")
            hub.checkpointer.run_if_due()
        assert hub.storage.wal_bytes() < 2 * DUE_BYTES
