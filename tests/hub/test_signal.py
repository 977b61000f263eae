"""Who is woken by a commit: those who wait for what it wrote, and nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vagus.hub import TopicPartition
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
