"""The stage: a cluster, the pipeline's workers as processes, a load, and the check at the end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kafka import pipeline
from tests.kafka.ledger import DEAD_LETTERS, OUTPUTS
from tests.kafka.load import Load
from tests.kafka.node import bound
from tests.kafka.witness import Watch, Witness

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

RECOVERY_S = 60.0
"""Within this time after a fault all that was sent until then has come out."""

START_S = 180.0


class WorkerProcess:
    """A worker of the pipeline, started as a user starts it: `vagus run`."""

    def __init__(self, number: int, hub: str, folder: Path) -> None:
        self.number = number
        self.log = folder / f"worker-{number}.log"
        command = [sys.executable, "-m", "vagus.cli", "run", pipeline.__file__, "--hub", hub]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                bound(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, "PYTHONFAULTHANDLER": "1"},
            )

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def end(self, number: signal.Signals) -> None:
        """End it by a signal, and wait until it is gone."""
        self.process.send_signal(number)
        try:
            self.process.wait(START_S)
        finally:
            self.process.kill()
            self.process.wait()


class Stage:
    """Everything that a fault needs to happen to."""

    def __init__(self, cluster: Cluster, seed: int, workers: int = 2) -> None:
        self.cluster = cluster
        self.dice = random.Random(seed)
        self.workers: list[WorkerProcess] = []
        self._started = 0
        self._hub = f"kafka://{cluster.proxied_bootstrap}"
        self._witness = Witness(cluster.bootstrap)
        try:
            for _ in range(workers):
                self.start_worker()
            self.wait(self._is_announced, "the pipeline's topics and schemas are there", START_S)
            self.load = Load(cluster.bootstrap, self._witness.schemas(), seed)
            self.watch = Watch(cluster.bootstrap, "counted", 4)
            self.load.start()
            self.wait(lambda: bool(self.watch.counts), "the first order is counted", START_S)
            self.watch.start_over()
        except BaseException:
            self._end_workers()
            raise

    def close(self) -> None:
        """End everything but the cluster."""
        self._end_workers()
        self.watch.close()
        self.load.close()

    def repair(self) -> None:
        """Have everything run again that a test that failed has left broken."""
        for proxy in self.cluster.proxies:
            proxy.heal()
        for node in self.cluster.nodes:
            node.revive()
        self.cluster.wait_in_sync()
        for worker in list(self.workers):
            worker.signal(signal.SIGCONT)
            if worker.process.poll() is not None:
                self.workers.remove(worker)
        while len(self.workers) < 2:
            self.start_worker()

    def all_at_work(self) -> None:
        """Wait until every worker has partitions, and works, so that what happens to one matters.

        One that has got partitions is still starting: what was sent until then has to come out.
        """
        self.wait(
            lambda: self._witness.owners(pipeline.app.name) == len(self.workers),
            f"{len(self.workers)} workers share the work",
            START_S,
        )
        self._wait_until_done()

    def start_worker(self) -> WorkerProcess:
        """Start one more worker."""
        self._started += 1
        worker = WorkerProcess(self._started, self._hub, self.cluster.folder)
        self.workers.append(worker)
        return worker

    def end_worker(self, worker: WorkerProcess, number: signal.Signals) -> None:
        """End a worker for good."""
        with self.leaving(worker, number):
            pass

    @contextmanager
    def leaving(self, worker: WorkerProcess, number: signal.Signals) -> Iterator[None]:
        """Meanwhile a worker may end by itself; then it is ended for good."""
        self.workers.remove(worker)
        try:
            yield
        finally:
            worker.end(number)

    def wait(self, look: Callable[[], bool], what: str, within_s: float = RECOVERY_S) -> float:
        """Wait for a condition; how long it took. No worker may end meanwhile."""
        start_s = time.monotonic()
        while not look():
            self._assert_alive()
            took_s = time.monotonic() - start_s
            assert took_s < within_s, f"waited in vain for {within_s} s until {what}\n{self._say()}"
            time.sleep(0.05)
        return time.monotonic() - start_s

    def recovered(self) -> None:
        """Wait until all that was sent up to now has come out: the pipeline went on by itself."""
        took_s = self._wait_until_counted()
        print(
            f"came out {took_s:.1f} s later; longest pause {self.watch.longest_pause_s:.1f} s",
            file=sys.stderr,
        )

    def settle(self) -> None:
        """Pause the load, wait until all is done, and have the witness check everything."""
        self.load.pause(RECOVERY_S)
        self._wait_until_done()
        self.load.ledger.check(self._witness.rows([*OUTPUTS, DEAD_LETTERS]))
        self.watch.start_over()
        self.load.start()

    def _wait_until_done(self) -> None:
        """Wait for what was sent up to now, in all outputs."""
        sent = self.load.sent
        self._wait_until_counted()
        self.wait(lambda: self._kinds_counted() >= sent, f"all {sent} orders are in kind-total")

    def _wait_until_counted(self) -> float:
        """Wait for what was sent up to now; how long it took.

        Account by account: of one that is well, more may come out than another one lacks.
        """
        sent, counts = self.load.sent_by_account(), self.watch.counts
        return self.wait(
            lambda: all(counts[account] >= count for account, count in sent.items()),
            f"{sum(sent.values())} orders are counted",
        )

    def _kinds_counted(self) -> int:
        """How many orders have gone through the repartition topic and the second count."""
        last = {
            row.key: row.value["count"] for row in self._witness.rows(["kind-total"])["kind-total"]
        }
        return sum(last.values())

    def _is_announced(self) -> bool:
        found = self._witness.schemas()
        return {"order-value", "account-value", "counted-value"} <= set(found)

    def _assert_alive(self) -> None:
        for worker in self.workers:
            code = worker.process.poll()
            assert code is None, f"worker {worker.number} ended ({code})\n{self._say()}"

    def _say(self) -> str:
        tails = [f"--- worker {worker.number}\n{worker.said()[-3000:]}" for worker in self.workers]
        controller = f"--- node {self.cluster.controller()} is the controller"
        return "\n".join([*tails, self.cluster.views(), controller])

    def _end_workers(self) -> None:
        for worker in self.workers:
            worker.process.send_signal(signal.SIGCONT)
            worker.process.kill()
            worker.process.wait()
        self.workers.clear()
