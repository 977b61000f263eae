"""kill -9 of workers with state, at random moments, while events arrive."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import vagus as vg
from tests.runtime import counting

EVENTS = 6_000
QUEUES = 7
KILLS = 12


def _start(hub: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, counting.__file__, str(hub)], cwd=Path.cwd())


@pytest.mark.timeout(180)
def test_each_event_is_counted_exactly_once_though_workers_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    hub = tmp_path / "hub.db"
    with vg.Client(counting.app, str(hub)) as client:
        client.send(counting.jobs, [])  # creates the topic
        workers = [_start(hub), _start(hub)]
        sent = kills = 0
        deadline = time.monotonic() + 150
        try:
            while sent < EVENTS or kills < KILLS:
                count = dice.randrange(1, 200)
                batch = [
                    counting.Job(job=sent + n, queue=f"q{dice.randrange(QUEUES)}")
                    for n in range(min(count, EVENTS - sent))
                ]
                if batch:
                    client.send(counting.jobs, batch)
                    sent += len(batch)
                time.sleep(dice.random() * 0.3)
                if kills < KILLS and dice.random() < 0.4:
                    which = dice.randrange(len(workers))
                    workers[which].send_signal(signal.SIGKILL)
                    workers[which].wait()
                    workers[which] = _start(hub)
                    kills += 1
                assert time.monotonic() < deadline, "the workers did not keep up"
            while _counted(client) < EVENTS:
                assert time.monotonic() < deadline, f"{_counted(client)} of {EVENTS} counted"
                time.sleep(0.2)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        results = client.read("counted")
        for _, rows in results.group_by("queue"):
            # One result for each event, each one higher than the last: none lost, none twice.
            assert rows["count"].to_list() == list(range(1, rows.height + 1))
        assert sorted(results["last"].to_list()) == list(range(EVENTS))


def _counted(client: vg.Client) -> int:
    if "counted" not in client.hub.topics():
        return 0
    info = client.hub.describe_topic("counted")
    return sum(part.end_offset - part.start_offset for part in info.partitions)
