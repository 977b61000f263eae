"""Calls of Kafka's client that would never come back are left behind."""

from __future__ import annotations

import threading

import pytest

from vagus.hub.kafka.patience import within


def test_a_call_is_made_before_one_goes_on() -> None:
    made: list[int] = []
    within(60.0, lambda: made.append(1))
    assert made == [1]


def test_what_a_call_raises_is_raised() -> None:
    def refuse() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError, match="no"):
        within(60.0, refuse)


def test_a_call_that_hangs_is_left_behind() -> None:
    waiting, ended = threading.Event(), threading.Event()

    def hang() -> None:
        waiting.wait()
        ended.set()

    with pytest.raises(TimeoutError):
        within(0.01, hang)
    waiting.set()
    assert ended.wait(60.0)
