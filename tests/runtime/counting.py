"""A pipeline with state, run as a worker process by the kill test: `counting.py HUB`."""

from __future__ import annotations

import sys

import vagus as vg
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Policy, Worker


class Job(vg.Event):
    """Something to be counted."""

    job: int
    queue: str


app = vg.App("counting")
jobs = app.topic("job", Job, key="job", partitions=4)
running = jobs.group_by("queue").agg(count=vg.count(), last=vg.last("job"), emit="each")
running.to("counted", partitions=3)


def main(path: str) -> None:
    """Work until killed."""
    with vg.connect(path) as hub:
        while True:
            try:
                policy = Policy(session_timeout_s=1.5)
                Worker(app.name, app.topology, hub, HubRegistry(hub), policy=policy).run()
            except vg.errors.Fenced:
                continue


if __name__ == "__main__":
    main(sys.argv[1])
