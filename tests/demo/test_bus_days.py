"""Real days of buses, unordered and with duplicates, through windows.

The slow, obvious model takes one record at a time, in the order of each partition, and judges
each record's lateness by the stream time that it itself has moved on.
"""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import vagus as vg

if TYPE_CHECKING:
    from vagus.streams import Stream

DAYS = sorted((Path(__file__).parents[3] / "shared" / "data" / "austin-bus").glob("*.csv.gz"))

if not DAYS:
    pytest.skip("the bus days of ../shared/data are not here", allow_module_level=True)

MINUTE_MS = 60_000
SIZE_MS, GRACE_MS = 5 * MINUTE_MS, 10 * MINUTE_MS


class Position(vg.Event):
    vehicle: str
    at: datetime
    speed_mps: float | None
    route: str


def fleet(emit: str, partitions: int) -> tuple[vg.App, Stream]:
    app = vg.App("fleet")
    positions = app.topic("bus-position", Position, key="vehicle", time="at", partitions=partitions)
    positions.window(vg.tumbling("5m", grace="10m"), by="vehicle").agg(
        emit=emit,  # type: ignore[arg-type]
        name="speed",
        readings=vg.count(),
        speed_mps=vg.mean("speed_mps"),
    ).to_table("bus-speed-5m", partitions=partitions)
    return app, positions


def read(day: Path) -> pl.DataFrame:
    """The day as it is in the file: by route and vehicle rather than by time."""
    return pl.read_csv(
        day, schema_overrides={"vehicle_id": pl.String, "route_id": pl.String}
    ).select(
        vehicle="vehicle_id",
        at=pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC"),
        speed_mps=pl.col("speed").cast(pl.Float64),
        route="route_id",
    )


def nearly_in_order(day: pl.DataFrame, seed: int) -> pl.DataFrame:
    """The day as it would arrive: some readings twice, delayed by little or by half an hour."""
    delays = random.Random(seed)
    twice = [row for row in range(day.height) for _ in range(1 + (delays.random() < 0.02))]
    day = day[twice]
    late_us = [int(delays.paretovariate(1.0) * 1e7) % 1_800_000_000 for _ in range(day.height)]
    told = pl.col("at").dt.epoch("us") + pl.Series("late", late_us)
    return day.sort(told, maintain_order=True)


class Model:
    """Tumbling count and mean by vehicle, for one partition."""

    def __init__(self) -> None:
        self.stream_time = -1
        self.late = 0
        self.windows: dict[tuple[str, int], list[float | None]] = defaultdict(list)

    def take(self, vehicle: str, at_ms: int, speed: float | None) -> None:
        self.stream_time = max(self.stream_time, at_ms)
        start = at_ms - at_ms % SIZE_MS
        if start + SIZE_MS <= self.stream_time - GRACE_MS:
            self.late += 1
        else:
            self.windows[vehicle, start].append(speed)

    def closed(self) -> set[tuple[str, int]]:
        return {
            place for place in self.windows if place[1] + SIZE_MS <= self.stream_time - GRACE_MS
        }


def modelled(told: pl.DataFrame) -> list[Model]:
    models: dict[int, Model] = defaultdict(Model)
    columns = told.select("_partition", "vehicle", pl.col("at").dt.epoch("ms"), "speed_mps")
    for partition, vehicle, at_ms, speed in columns.iter_rows():
        models[partition].take(vehicle, at_ms, speed)
    return list(models.values())


def send_in_batches(h: vg.testing.Harness, topic: Stream, frame: pl.DataFrame, seed: int) -> None:
    sizes = random.Random(seed)
    sent = 0
    while sent < frame.height:
        size = sizes.choice((1, 7, 300, 2_000, 9_000))
        h.put(topic, frame.slice(sent, size))
        sent += size
        if sizes.random() < 0.6:
            h.run()
    h.run()


@pytest.mark.parametrize(("emit", "partitions"), [("update", 3), ("final", 1)])
@pytest.mark.parametrize("order", ["as it is in the file", "as it would arrive"])
@pytest.mark.parametrize("day", DAYS, ids=[day.name[:10] for day in DAYS])
def test_a_day_of_buses_equals_the_slow_model(
    day: Path, order: str, partitions: int, emit: str
) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    frame = read(day)
    if order == "as it would arrive":
        frame = nearly_in_order(frame, seed)
    app, positions = fleet(emit, partitions)
    with vg.testing.Harness(app) as h:
        send_in_batches(h, positions, frame, seed)
        told = h.read(positions, offsets=True)
        found = {
            (row["vehicle"], int(row["window_start"].timestamp() * 1000)): row
            for row in h.views["bus-speed-5m"].scan().iter_rows(named=True)
        }
        late = h.metrics.count("records_late", "speed")
    models = modelled(told)

    assert told.height == frame.height
    assert late == sum(model.late for model in models) > 0
    wanted = {place: speeds for model in models for place, speeds in model.windows.items()}
    if emit == "final":
        closed = {place for model in models for place in model.closed()}
        assert closed < set(wanted)
        wanted = {place: wanted[place] for place in closed}
    assert set(found) == set(wanted)
    for place, speeds in wanted.items():
        known = [speed for speed in speeds if speed is not None]
        mean = sum(known) / len(known) if known else None
        assert found[place]["readings"] == len(speeds), place
        assert found[place]["speed_mps"] == (mean and pytest.approx(mean, rel=1e-9)), place


def test_the_days_are_unordered_and_one_repeats_a_reading() -> None:
    days = [read(day) for day in DAYS]
    assert not any(day["at"].is_sorted() for day in days)
    assert any(day.is_duplicated().any() for day in days)
