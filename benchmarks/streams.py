"""Pipelines: from a topic of the hub, through an application, to a topic of the hub.

Each is compared with plain Polars on the same events in memory, which reads, writes and remembers
nothing, and with a loop written by hand (see `byhand`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

import vagus as vg
from benchmarks import byhand, workload
from benchmarks.measure import Result, Span, peak_memory_mb, result, settle
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Worker

_ROUNDS = 5  # of plain Polars


def filter_and_project(path: Path, count: int) -> Result:
    """About half of the events pass, with half of their fields."""
    app, positions, _ = workload.fleet("filter")
    wanted = ["bus_id", "speed_kmh", "at"]
    positions.filter(pl.col("speed_kmh") > 50).select(*wanted).to("fast-bus")

    def plain(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.filter(pl.col("speed_kmh") > 50).select(wanted)

    def came_out(client: vg.Client, plain: pl.DataFrame) -> bool:
        return _end(client, "fast-bus") == plain.height

    return _pipeline(
        "streams.filter", app, path, count, _Other(plain, byhand.filter_and_project(), came_out)
    )


def join(path: Path, count: int) -> Result:
    """Each event gets the columns of its driver."""
    app, positions, drivers = workload.fleet("join")
    positions.join(drivers, on="driver_id").to("bus-with-driver")
    table = workload.drivers_frame()

    def plain(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.join(table, on="driver_id", how="inner", maintain_order="left")

    def came_out(client: vg.Client, plain: pl.DataFrame) -> bool:
        return _end(client, "bus-with-driver") == plain.height

    return _pipeline("streams.join", app, path, count, _Other(plain, byhand.join(), came_out))


def window(path: Path, count: int) -> Result:
    """Count and mean for each bus and minute, kept as a table."""
    app, positions, _ = workload.fleet("window")
    (
        positions.window(vg.tumbling("1m", grace="10s"), by="bus_id")
        .agg(readings=vg.count(), speed_kmh=vg.mean("speed_kmh"))
        .to_table("bus-speed")
    )

    def plain(frame: pl.DataFrame) -> pl.DataFrame:
        minute = pl.col("at").dt.truncate("1m").alias("window_start")
        return frame.group_by("bus_id", minute).agg(
            pl.len().alias("readings"), pl.col("speed_kmh").mean()
        )

    def came_out(client: vg.Client, plain: pl.DataFrame) -> bool:
        rows = client.read("bus-speed").unique(["bus_id", "window_start"], keep="last")
        ours, theirs = (
            frame.select(pl.len(), pl.col("readings").sum(), pl.col("speed_kmh").mean()).row(0)
            for frame in (rows, plain)
        )
        return ours[:2] == theirs[:2] and abs(ours[2] - theirs[2]) < 1e-6

    return _pipeline("streams.window", app, path, count, _Other(plain, byhand.window(), came_out))


@dataclass(frozen=True, slots=True)
class _Other:
    """What a pipeline is compared with, and whether it came to the answer of plain Polars."""

    plain: Callable[[pl.DataFrame], pl.DataFrame]
    by_hand: byhand.Step
    came_out: Callable[[vg.Client, pl.DataFrame], bool]


def _pipeline(
    name: str,
    app: vg.App,
    path: Path,
    count: int,
    other: _Other,
) -> Result:
    hub = vg.connect(str(path))
    worker = Worker(app.name, app.topology, hub, HubRegistry(hub), policy=app.policy)
    started_s = time.process_time()
    with Span() as ours:
        while worker.turn():
            pass
    peak_mb = peak_memory_mb()
    commits = worker.metrics.count("commits")
    worker.close()
    settle()

    frame = workload.all_positions(count)
    answer = other.plain(frame)
    rounds = []
    for _ in range(_ROUNDS):
        with Span() as theirs:
            other.plain(frame)
        rounds.append(theirs.cpu_s)
    del frame
    by_hand = byhand.run(path.with_name("byhand.db"), count, other.by_hand)
    done = hub.describe_group(app.name).positions[workload.POSITIONS]
    with vg.Client(app, hub) as client:
        if done != count or not other.came_out(client, answer):
            raise SystemExit(f"{name}: the result differs from that of plain Polars")
    hub.close()
    return result(
        name,
        count,
        ours,
        peak_mb=peak_mb,
        ratios={"polars": median(rounds) / ours.cpu_s, "by_hand": by_hand.cpu_s / ours.cpu_s},
        more={
            "events_per_cpu_s_with_start": round(count / (ours.cpu_s + started_s)),
            "start_cpu_s": started_s,
            "commits": commits,
        },
    )


def _end(client: vg.Client, topic: str) -> int:
    return sum(part.end_offset for part in client.hub.describe_topic(topic).partitions)
