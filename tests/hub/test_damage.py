"""Damage is found and told; a backup of a live hub is whole."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.hubs import all_values, records
from vagus.errors import CorruptBatch, HubError
from vagus.hub import TopicConfig, TopicPartition
from vagus.hub.local import LocalHub, batch

A0, A1 = TopicPartition("a", 0), TopicPartition("a", 1)


def damaged(path: str) -> LocalHub:
    """A hub with offsets 2 and 3 of a[0] damaged on disk."""
    marked = b"m" * 40_000
    with LocalHub(path) as hub:
        hub.create_topic("a", TopicConfig(partitions=2))
        for values in ([b"0", b"1"], [marked, b"3"], [b"4"]):
            hub.append([(A0, records(values)), (A1, records([b"fine"]))])
    found = Path(path).read_bytes().index(marked[:8_000])
    with open(path, "r+b") as file:
        file.seek(found + 4_000)
        file.write(b"X")
    return LocalHub(path)


def test_check_says_what_is_lost(tmp_path: Path) -> None:
    with damaged(str(tmp_path / "hub.db")) as hub:
        report = hub.check()
    assert not report.ok
    assert [
        (one.topic, one.partition, one.first_offset, one.last_offset) for one in report.damage
    ] == [("a", 0, 2, 3)]
    assert report.batches == 6


def test_a_sound_hub_passes(tmp_path: Path) -> None:
    with LocalHub(str(tmp_path / "hub.db")) as hub:
        hub.create_topic("a", TopicConfig())
        hub.append([(A0, records([b"x", b"y"]))])
        done: list[tuple[int, int]] = []
        report = hub.check(lambda batches, total: done.append((batches, total)))
    assert report.ok
    assert (report.batches, report.records) == (1, 2)
    assert done[-1] == (1, 1)


def test_a_damaged_batch_is_never_returned(tmp_path: Path) -> None:
    with damaged(str(tmp_path / "hub.db")) as hub:
        with hub.reader({A0: 2}) as reader:
            with pytest.raises(CorruptBatch, match="offsets 2 to 3"):
                reader.read()
            reader.seek(A0, 4)
            assert [got.values.to_list() for got in reader.read()] == [[b"4"]]
        assert all_values(hub, [A1]) == {A1: [b"fine"] * 3}


def test_housekeeping_leaves_damage_where_it_is(tmp_path: Path) -> None:
    with damaged(str(tmp_path / "hub.db")) as hub:
        hub.housekeep()
        assert [one.first_offset for one in hub.check().damage] == [2]
        with hub.reader({A0: 4}) as reader:
            assert [got.values.to_list() for got in reader.read()] == [[b"4"]]


def test_a_hole_in_the_structure_is_found(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.db")
    with LocalHub(path) as hub:
        hub.create_topic("a", TopicConfig())
        hub.append([(A0, records([b"x"]))])
    foreign = sqlite3.connect(path)
    foreign.execute("UPDATE batch SET base_offset = 7, last_offset = 7")
    foreign.commit()
    foreign.close()
    with LocalHub(path) as hub:
        assert not hub.check().ok


@given(st.binary(min_size=1, max_size=60_000), st.data())
def test_the_checksum_sees_any_changed_byte(data: bytes, draw: st.DataObject) -> None:
    data = data * draw.draw(st.integers(1, 5))
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= draw.draw(st.integers(1, 255))
    assert batch.checksum(bytes(changed)) != batch.checksum(data)


def test_the_checksum_sees_blocks_that_changed_places() -> None:
    blocks = [bytes([n]) * 4096 for n in range(32)]
    whole = batch.checksum(b"".join(blocks))
    for other in range(1, 32):
        swapped = list(blocks)
        swapped[0], swapped[other] = swapped[other], swapped[0]
        assert batch.checksum(b"".join(swapped)) != whole


def test_a_backup_is_one_moment_of_a_hub_in_use(tmp_path: Path) -> None:
    stop = threading.Event()
    with LocalHub(str(tmp_path / "hub.db")) as hub:
        hub.create_topic("a", TopicConfig(partitions=2))
        hub.append([(A0, records([b"." * 100_000] * 50))])
        started = hub.offsets([A1], "latest")[A1]

        def go_on() -> None:
            while not stop.is_set():
                hub.append([(A0, records([b"x"])), (A1, records([b"x"]))], acks="leader")

        writer = threading.Thread(target=go_on)
        writer.start()
        pages: list[tuple[int, int]] = []
        try:
            hub.backup(str(tmp_path / "copy.db"), lambda done, total: pages.append((done, total)))
        finally:
            stop.set()
            writer.join()
    assert pages[-1][0] == pages[-1][1]
    with LocalHub(str(tmp_path / "copy.db")) as copy:
        ends = copy.offsets([A0, A1], "latest")
        assert ends[A0] - 50 == ends[A1] >= started
        assert copy.check().ok
        copy.append([(A0, records([b"lives"]))])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "hub.db"]


def test_a_backup_has_an_id_of_its_own(tmp_path: Path) -> None:
    # Put in the hub's place it is behind, and what follows in it are other events.
    with LocalHub(str(tmp_path / "hub.db")) as hub:
        hub.backup(str(tmp_path / "copy.db"))
        with LocalHub(str(tmp_path / "copy.db")) as copy:
            assert copy.id != hub.id


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with LocalHub(":memory:") as hub, pytest.raises(HubError, match="existing file"):
        hub.backup(str(tmp_path / "precious"))
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_damaged_hub_is_not_taken_for_a_backup(tmp_path: Path) -> None:
    with (
        damaged(str(tmp_path / "hub.db")) as hub,
        pytest.raises(HubError, match="sound copy"),
    ):
        hub.backup(str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists()
