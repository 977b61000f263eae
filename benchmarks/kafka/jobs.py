"""The three jobs as applications, and what each of them reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

import vagus as vg
from benchmarks import workload

if TYPE_CHECKING:
    from vagus.runtime.topic import Topic

TABLE = "driver"


@dataclass(frozen=True, slots=True)
class Job:
    """A job: how many events it reads for each that it writes, and whether the last ones count.

    Of a job whose `last_counts`, outputs are compared by key: how often a window was told in
    between is nobody's promise.
    """

    name: str
    every: int
    last_counts: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, under names of its own, on the topic of so many partitions."""

    job: Job
    number: int
    partitions: int = 1

    @property
    def name(self) -> str:
        """The application."""
        return f"{self.job.name}-{self.number}"

    @property
    def output(self) -> Topic:
        """The topic that it writes."""
        return self.app().topology.topics()[f"{self.name}-output"]

    def app(self) -> vg.App:
        """The job as an application."""
        app = vg.App(self.name)
        positions = app.topic(
            events_topic(self.partitions),
            workload.BusPosition,
            key="bus_id",
            time="at",
            partitions=self.partitions,
        )
        output = f"{self.name}-output"
        if self.job.name == "filter":
            wanted = ["bus_id", "speed_kmh", "at"]
            positions.filter(pl.col("speed_kmh") > 50).select(*wanted).to(output)
        elif self.job.name == "join":
            drivers = app.table(TABLE, workload.Driver, key="driver_id")
            positions.join(drivers, on="driver_id").to(output)
        else:
            positions.window(vg.tumbling("1m", grace="10s"), by="bus_id").agg(
                readings=vg.count(), speed_kmh=vg.mean("speed_kmh")
            ).to_table(output)
        return app


def events_topic(partitions: int) -> str:
    """The topic that all jobs read."""
    return f"bus-position-{partitions}"


JOBS = {
    job.name: job for job in (Job("filter", 2), Job("join", 1), Job("window", 60, last_counts=True))
}
