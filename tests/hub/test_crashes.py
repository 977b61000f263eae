"""`kill -9` of any process at any moment loses nothing that was acknowledged, shows no half commit,
and every input leads to exactly one output.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.hubs import all_values, eventually
from tests.hub import nursery
from vagus.hub import TopicPartition, connect
from vagus.hub.local import LocalHub

KILLS = 75


class Nursery:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, str(Path(nursery.__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, role: str) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._number += 1
        self._process.stdin.write(f"{role} {self._folder} {self._number}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def nest(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(tmp_path)
    yield made
    made.close()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the killed process was gone")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, and looks into /proc")
@pytest.mark.parametrize("turn", range(4))
def test_killed_processes_lose_and_double_nothing(nest: Nursery, tmp_path: Path, turn: int) -> None:
    seed = int(os.environ.get("VAGUS_SEED", time.time_ns() % 1_000_000)) + turn
    print(f"VAGUS_SEED={seed - turn}")
    rng = random.Random(seed)
    path = str(tmp_path / "hub.db")
    nursery.create_topics(path)
    running = {
        nest.start(role): role for role in ("produce", "produce", "work", "work", "work", "keep")
    }
    try:
        for _ in range(KILLS):
            time.sleep(rng.expovariate(1 / 0.04))
            pid = rng.choice(sorted(running))
            kill(pid)
            role = running.pop(pid)
            running[nest.start(role)] = role
        for pid, role in list(running.items()):
            if role != "work":
                kill(pid)
                del running[pid]
        partitions = [TopicPartition("in", n) for n in range(nursery.PARTITIONS)]
        with connect(path) as hub:
            ends = hub.offsets(partitions, "latest")
            wanted = {partition: end for partition, end in ends.items() if end}
            eventually(
                lambda: hub.committed("workers", partitions) == wanted,
                f"the workers had done everything up to {wanted}",
            )
    finally:
        for pid in running:
            kill(pid)
    errors = tmp_path / "errors"
    assert not errors.exists(), errors.read_text()
    with connect(path) as hub:
        assert isinstance(hub, LocalHub)
        inputs = values(hub, "in")
        assert max(inputs.values()) == 1, "an input was appended twice"
        acknowledged = set((tmp_path / "acknowledged").read_bytes().split())
        assert len(acknowledged) > KILLS
        assert acknowledged <= set(inputs), "something acknowledged was lost"
        assert values(hub, "out") == inputs, "not every input led to exactly one output"
        first, second = (
            all_values(hub, [TopicPartition("pair", half)])[TopicPartition("pair", half)]
            for half in (0, 1)
        )
        assert first == second, "half a transaction was seen"
        assert first
        assert hub.check().ok


def values(hub: LocalHub, topic: str) -> Counter[bytes | None]:
    partitions = [TopicPartition(topic, n) for n in range(nursery.PARTITIONS)]
    return Counter(value for found in all_values(hub, partitions).values() for value in found)
