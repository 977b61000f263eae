"""Mirrors that are killed at any moment, and the next ones that go on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tests.contract.cluster import clean
from tests.mirror.conftest import everything, fill, mirror, unread
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.hub.mirror.mirror import identity

ROUNDS, KAFKA_ROUNDS = 25, 8
if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

NURSERY = Path(__file__).with_name("nursery.py")


def test_killed_at_random_it_copies_each_event_once(tmp_path: Path, seed: int) -> None:
    kill_and_resume(tmp_path, str(tmp_path / "there.db"), random.Random(seed), (ROUNDS, 0.4))


def test_killed_at_random_it_copies_each_event_to_kafka_once(
    tmp_path: Path, seed: int, kafka: Cluster
) -> None:
    address = f"kafka://{kafka.bootstrap}"
    kill_and_resume(tmp_path, address, random.Random(seed), (KAFKA_ROUNDS, 4.0))
    clean(kafka.bootstrap)


def kill_and_resume(tmp_path: Path, there: str, rng: random.Random, how: tuple[int, float]) -> None:
    """Add events and kill a mirror, so many times, after up to so many seconds; compare."""
    rounds, longest_s = how
    here = str(tmp_path / "here.db")
    place = TopicPartition("train", 0)
    source = connect(here)
    nursery = subprocess.Popen(
        [sys.executable, str(NURSERY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with closing(source), nursery:
        assert nursery.stdin is not None
        assert nursery.stdout is not None
        source.create_topic("bus", TopicConfig(partitions=3))
        source.create_topic("train", TopicConfig())
        for number in range(rounds):
            for batch in range(10):
                fill(source, "bus", 30, first=number * 300 + batch * 30)
                fill(source, "train", 10, first=number * 100 + batch * 10)
            position = rng.randrange(number * 100, (number + 1) * 100)
            source.reset_group("look", {place: position})
            print(here, there, file=nursery.stdin, flush=True)
            child = int(nursery.stdout.readline())
            time.sleep(rng.uniform(0, longest_s))  # where it is killed is chance, not a wait
            os.kill(child, signal.SIGKILL)
        nursery.stdin.close()
        with closing(connect(there)) as target:
            last = mirror(source, target, name=identity(here), with_groups=True)
            last.copy()
            assert everything(target, "bus") == everything(source, "bus")
            assert everything(target, "train") == everything(source, "train")
            assert all(each.same for each in last.verify())
            at = target.committed("look", [place])[place]
            assert unread(target, place, at) == unread(source, place, position)
