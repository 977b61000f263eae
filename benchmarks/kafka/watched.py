"""A program under measurement: when it was ready, how far it is, and what it has used so far.

All three programs are measured alike and from outside: their CPU time by the system's account
of the process, their progress by what their group has committed. All a program does for it is to
print one line when it begins to read: "ready", the monotonic clock, its CPU time (nanoseconds).
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import psutil
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

_EVERY_S = 0.05


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program took: from the moment it was ready, and with its start."""

    wall_s: float
    cpu_s: float
    second_half_cpu_s: float
    start_cpu_s: float
    peak_memory_mb: float


@dataclass(frozen=True, slots=True)
class _Sample:
    at_s: float
    cpu_s: float
    memory: int
    done: int


class Watched:
    """A program that reads topics as a consumer group, until its standard input ends."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=Path(__file__).parents[2],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._account = psutil.Process(self._process.pid)
        self._ready: list[tuple[float, float]] = []
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30.0 if kind is None else 0.1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join()

    def drain(
        self, admin: AdminClient, group: str, ends: dict[TopicPartition, int], timeout_s: float
    ) -> Usage:
        """Wait until the group has committed the ends; what that took."""
        total = sum(ends.values())
        samples: list[_Sample] = []
        deadline = time.monotonic() + timeout_s
        while not samples or samples[-1].done < total:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{group} did not come to its end:\n{self._said()}")
            time.sleep(_EVERY_S)
            samples.append(self._look(admin, group, list(ends)))
        if not self._ready:
            raise SystemExit(f"{group} never said that it is ready:\n{self._said()}")
        ready_s, started_s = self._ready[0]
        course = {0: started_s}
        for each in samples:  # the first one that saw so much done is the one that counts
            course.setdefault(each.done, each.cpu_s)
        last = samples[-1]
        return Usage(
            wall_s=last.at_s - ready_s,
            cpu_s=last.cpu_s - started_s,
            second_half_cpu_s=last.cpu_s - _cpu_at(list(course.items()), total / 2),
            start_cpu_s=started_s,
            peak_memory_mb=max(sample.memory for sample in samples) / 1e6,
        )

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            word, *figures = line.split()
            if word == b"ready":
                clock, cpu = map(int, figures)
                self._ready.append((clock / 1e9, cpu / 1e9))

    def _look(self, admin: AdminClient, group: str, places: list[TopicPartition]) -> _Sample:
        with self._account.oneshot():
            times = self._account.cpu_times()
            memory = self._account.memory_info().rss
        at_s = time.monotonic()
        done = _committed(admin, group, places)
        return _Sample(at_s, times.user + times.system, memory, done)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]


def _committed(admin: AdminClient, group: str, partitions: list[TopicPartition]) -> int:
    request = ConsumerGroupTopicPartitions(group, partitions)
    try:
        (answer,) = admin.list_consumer_group_offsets([request]).values()
        found = answer.result(10.0).topic_partitions
    except KafkaException:  # there is no such group yet
        return 0
    return sum(max(0, each.offset) for each in found)


def _cpu_at(course: Sequence[tuple[int, float]], done: float) -> float:
    """The CPU time when so much was done: on the line between the two points around it."""
    for (done_before, cpu_before), (done_after, cpu_after) in itertools.pairwise(course):
        if done_after >= done:
            share = (done - done_before) / (done_after - done_before)
            return cpu_before + share * (cpu_after - cpu_before)
    raise SystemExit("expected to have seen the end")
