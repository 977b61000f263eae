"""Who is woken by a commit: those who wait for what it wrote, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.hubs import records
from vagus.hub import Hub, TopicConfig, TopicPartition, connect
from vagus.hub.local.reader import LocalReader
from vagus.hub.local.signal import Signal

HERE, THERE = TopicPartition("here", 0), TopicPartition("there", 0)


def _waiting(signal: Signal, partitions: set[TopicPartition]) -> tuple[threading.Thread, list[str]]:
    """A thread that waits, once it does so, and how often it looked whether it is to go on."""
    looked: list[str] = []
    waits = threading.Event()

    def woken() -> bool:
        looked.append("looked")
        waits.set()
        return False

    token = signal.token()
    thread = threading.Thread(target=signal.wait, args=(token, 60.0, partitions, woken))
    thread.start()
    assert waits.wait(60.0)
    return thread, looked


def test_a_commit_to_a_partition_wakes_whoever_waits_for_it() -> None:
    signal = Signal()
    thread, _ = _waiting(signal, {HERE})
    signal.notify({HERE, THERE})
    thread.join(60.0)
    assert not thread.is_alive()


def test_a_commit_elsewhere_wakes_nobody() -> None:
    signal = Signal()
    thread, looked = _waiting(signal, {HERE})
    for _ in range(100):
        signal.notify({THERE})
    assert looked == ["looked"]
    signal.notify({HERE})
    thread.join(60.0)
    assert not thread.is_alive()


def test_what_concerns_everybody_wakes_whoever_waits_for_nothing() -> None:
    signal = Signal()
    thread, _ = _waiting(signal, set())
    signal.notify()
    thread.join(60.0)
    assert not thread.is_alive()


def test_a_commit_between_look_and_wait_ends_the_wait() -> None:
    signal = Signal()
    token = signal.token()
    signal.notify({HERE})
    signal.wait(token, 60.0, {HERE}, _never)


def test_a_commit_elsewhere_between_look_and_wait_does_not() -> None:
    signal = Signal()
    token = signal.token()
    signal.notify({THERE})
    looked: list[None] = []

    def woken() -> bool:
        looked.append(None)
        return True

    signal.wait(token, 60.0, {HERE}, woken)
    assert looked


_never: Callable[[], bool] = bool


@pytest.fixture
def hubs(tmp_path: Path) -> Iterator[tuple[Hub, Hub]]:
    """Two on one file, as two processes have them."""
    path = str(tmp_path / "vagus.db")
    with connect(path) as one, connect(path) as other:
        one.create_topic("here", TopicConfig())
        yield one, other


@pytest.mark.parametrize("writer", ["itself", "another process"])
def test_what_is_written_between_two_reads_ends_the_wait_of_the_second(
    hubs: tuple[Hub, Hub], writer: str
) -> None:
    mine, other = hubs
    with mine.reader({HERE: 0}) as reader:
        for number in range(3):
            assert reader.read() == []
            (mine if writer == "itself" else other).append([(HERE, records([b"%d" % number]))])
            (got,) = reader.read(wait_s=60.0)
            assert got.values.to_list() == [b"%d" % number]


def test_who_has_read_everything_looks_again_when_there_is_more(
    hubs: tuple[Hub, Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, _ = hubs
    looks: list[int] = []
    look = LocalReader._look

    def counted(self: LocalReader, *bounds: Any) -> Any:
        got = look(self, *bounds)
        looks.append(sum(map(len, got)))
        return got

    monkeypatch.setattr(LocalReader, "_look", counted)
    with mine.reader({HERE: 0}) as reader:
        reader.read(wait_s=0.02)  # the first wait of all looks what others have written before
        looks.clear()
        mine.append([(HERE, records([b"a", b"b", b"c"]))])
        assert [len(read) for read in reader.read(max_records=2)] == [2]
        assert [len(read) for read in reader.read(wait_s=60.0)] == [1]
        thread = threading.Thread(target=reader.read, kwargs={"wait_s": 60.0})
        thread.start()
        mine.append([(HERE, records([b"d"]))])
        thread.join(60.0)
    assert looks == [2, 1, 1]
