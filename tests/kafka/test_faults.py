"""Whatever fails in a cluster of three: each event has one effect, and work goes on by itself.

A pipeline of two worker processes is under load all the time. After each fault everything that was
sent until then must have come out within RECOVERY_S, without any help; then an independent reader
compares all outputs and the state with what was sent. VAGUS_FAULT_ROUNDS says how often each fault
happens (`make test-faults`); without, each happens once, in a short form. VAGUS_FAULT_SEED repeats
a run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from tests.kafka.cluster import Cluster
from tests.kafka.fixtures import one_at_a_time
from tests.kafka.pipeline import SESSION_TIMEOUT_S
from tests.kafka.stage import Stage, WorkerProcess

LONG = "VAGUS_FAULT_ROUNDS" in os.environ
ROUNDS = int(os.environ.get("VAGUS_FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("VAGUS_FAULT_SEED") or random.randrange(2**32))
FROZEN_S = 20.0 if LONG else 8.0  # longer than brokers wait for each other
REPLACED = "was replaced and joins again"

pytestmark = [
    one_at_a_time,
    pytest.mark.timeout(ROUNDS * 300),
]


Rounds = Callable[[Callable[[], None]], None]


@pytest.fixture(scope="module")
def built(brokers: None) -> Iterator[Stage]:
    with Cluster(3, proxied=True) as cluster:
        stage = Stage(cluster, SEED)
        yield stage
        stage.close()


@pytest.fixture
def stage(built: Stage) -> Stage:
    """All of it at work, even if another test has left it in ruins."""
    built.repair()
    return built


@pytest.fixture
def rounds(stage: Stage) -> Rounds:
    """Have a fault happen, and check; as often as was asked for."""

    def run(fault: Callable[[], None]) -> None:
        for number in range(1, ROUNDS + 1):
            print(f"seed {SEED}, round {number}", file=sys.stderr)
            stage.all_at_work()
            fault()
            stage.recovered()
            stage.settle()

    return run


def test_the_leader_of_a_partition_is_killed(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        topic = stage.dice.choice(["order", "counted", "__transaction_state", "__consumer_offsets"])
        number = stage.cluster.leader(topic, stage.dice.randrange(4))
        stage.cluster.kill(number)
        stage.recovered()
        stage.cluster.revive(number)
        stage.cluster.wait_in_sync()

    rounds(fault)


def test_all_brokers_are_restarted_one_after_another(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        for node in stage.cluster.nodes:
            stage.cluster.restart(node.number)

    rounds(fault)


def test_a_broker_freezes_and_wakes(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        leader = stage.cluster.leader("order", stage.dice.randrange(4))
        number = stage.dice.choice([leader, stage.cluster.controller()])
        stage.cluster.freeze(number)
        try:
            time.sleep(FROZEN_S)
            stage.recovered()
        finally:
            stage.cluster.thaw(number)
        stage.cluster.wait_in_sync()

    rounds(fault)


def test_a_worker_is_killed(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        stage.end_worker(stage.dice.choice(stage.workers), signal.SIGKILL)
        stage.recovered()  # by the other one alone
        stage.start_worker()

    rounds(fault)


def test_a_worker_is_lost_while_it_starts(stage: Stage, rounds: Rounds) -> None:
    """It may have joined already, and hold what all need: schemas, or the others' partitions."""

    def fault() -> None:
        worker = stage.start_worker()
        stage.wait(lambda: bool(worker.said()), "it runs")
        time.sleep(stage.dice.uniform(0.0, 6.0))
        sleep_past_session(stage, worker)
        # Who has done no work yet may end when its requests have got no answer, and says so.
        with stage.leaving(worker, stage.dice.choice([signal.SIGTERM, signal.SIGKILL])):
            stage.recovered()
            assert worker.process.poll() is None or "\nvagus: " in worker.said(), worker.said()

    rounds(fault)


def test_a_worker_that_wakes_after_its_session_is_refused(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        worker = stage.dice.choice(stage.workers)
        before = worker.said().count(REPLACED)
        sleep_past_session(stage, worker)
        stage.wait(lambda: worker.said().count(REPLACED) > before, "the zombie is refused")

    rounds(fault)


def test_connections_are_cut_delayed_and_lost(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        proxies = stage.cluster.proxies
        for _ in range(8):
            proxy = stage.dice.choice(proxies)
            spoil = stage.dice.choice(
                [proxy.cut, proxy.part, proxy.blackhole, "delay", "lost replies"]
            )
            if spoil == "delay":
                proxy.delay_s = stage.dice.uniform(0.05, 0.5)
            elif spoil == "lost replies":
                proxy.drop_replies = True
            elif callable(spoil):
                spoil()
            time.sleep(stage.dice.uniform(0.2, 2.0))
            if stage.dice.random() < 0.7:
                proxy.heal()
        for proxy in proxies:
            proxy.heal()

    rounds(fault)


def test_workers_come_and_go(stage: Stage, rounds: Rounds) -> None:
    def fault() -> None:
        for _ in range(6):
            if len(stage.workers) > 1 and stage.dice.random() < 0.5:
                worker = stage.dice.choice(stage.workers)
                stage.end_worker(worker, stage.dice.choice([signal.SIGTERM, signal.SIGKILL]))
            elif len(stage.workers) < 3:
                stage.start_worker()
            time.sleep(stage.dice.uniform(0.1, 3.0))
        while len(stage.workers) < 2:
            stage.start_worker()
        while len(stage.workers) > 2:
            stage.end_worker(stage.workers[0], signal.SIGTERM)

    rounds(fault)


def sleep_past_session(stage: Stage, worker: WorkerProcess) -> None:
    """Freeze a worker until its session is over and the others have done its work, and wake it."""
    worker.signal(signal.SIGSTOP)
    try:
        time.sleep(SESSION_TIMEOUT_S)
        stage.recovered()
    finally:
        worker.signal(signal.SIGCONT)
