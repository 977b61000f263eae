"""A worker of Vagus, in a process of its own, until its standard input ends."""

from __future__ import annotations

import sys
import threading
import time

from benchmarks.kafka.jobs import JOBS, Run
from vagus.hub import connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Worker


def main(url: str, job: str, number: int, partitions: int) -> None:
    """Do the job."""
    app = Run(JOBS[job], number, partitions).app()
    with connect(url) as hub:
        worker = Worker(app.name, app.topology, hub, HubRegistry(hub), policy=app.policy)
        ended = threading.Event()

        def listen() -> None:
            sys.stdin.read()
            ended.set()
            worker.stop()

        threading.Thread(target=listen, daemon=True).start()
        begun_ns = time.monotonic_ns(), time.process_time_ns()
        while not worker.assignment and not ended.is_set():
            begun_ns = time.monotonic_ns(), time.process_time_ns()
            worker.turn(wait_s=0.05)
        print("ready", *begun_ns, flush=True)
        worker.run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
