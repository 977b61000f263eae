"""Views of services: built anew from all of their events.

`events_per_s` is that of a function that is called event by event, and keeps the last row of each
of a thousand keys. `columns_per_s` is that of one that is called with frames and does the same.
`new_rows_per_s` is that of a function that makes a row of every event, so that SQLite has to write
each.
"""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vagus as vg
from benchmarks import workload
from benchmarks.measure import Result, Span, peak_memory_mb, result, settle
from vagus.services import Queries

if TYPE_CHECKING:
    import polars as pl

_NEW_ROWS_MAX = 500_000


class Bus(vg.Row):
    """Where a bus is."""

    bus_id: str
    driver_id: int
    latitude: float
    longitude: float
    speed_kmh: float
    at: datetime


class Reading(vg.Row):
    """A row for each event."""

    number: int
    bus_id: str
    speed_kmh: float
    at: datetime


def rebuild(path: Path, count: int) -> Result:
    """All of the events, into three views, one after another."""
    service = vg.Service("bench")
    positions = service.topic("bus-position", workload.BusPosition, key="bus_id", time="at")
    numbers = iter(range(count))

    @service.view("buses", Bus, key="bus_id", of=positions, index=["driver_id"])
    def buses(event: Any, rows: Any) -> None:
        rows.put(
            Bus(
                bus_id=event.bus_id,
                driver_id=event.driver_id,
                latitude=event.latitude,
                longitude=event.longitude,
                speed_kmh=event.speed_kmh,
                at=event.at,
            )
        )

    @service.view("frames", Bus, key="bus_id", of=positions, index=["driver_id"], columns=True)
    def frames(frame: pl.DataFrame, rows: Any) -> None:
        last = frame.unique("bus_id", keep="last", maintain_order=True)
        rows.put_frame(last.select(*Bus.model_fields))

    @service.view("readings", Reading, key="number", of=positions, index=["bus_id"])
    def readings(event: Any, rows: Any) -> None:
        number = next(numbers, None)
        if number is not None and number < _NEW_ROWS_MAX:
            rows.put(
                Reading(number=number, bus_id=event.bus_id, speed_kmh=event.speed_kmh, at=event.at)
            )

    with vg.connect(str(path)) as hub, Queries(service, hub) as queries:
        queries.rebuild("frames")  # the schema is fetched, and so on
        spans = {}
        for name in ("buses", "frames"):
            settle()
            with Span() as spans[name]:
                queries.rebuild(name)
        peak_mb = peak_memory_mb()
        if queries["buses"].find(limit=10_000) != queries["frames"].find(limit=10_000):
            raise SystemExit("views.rebuild: the two views differ")
        new_rows_s = _until_new_rows(queries, min(count, _NEW_ROWS_MAX))
    columns = spans["frames"]
    return result(
        "views.rebuild",
        count,
        spans["buses"],
        peak_mb=peak_mb,
        more={
            "columns_per_s": count / columns.wall_s,
            "columns_per_cpu_s": count / columns.cpu_s,
            "new_rows_per_s": min(count, _NEW_ROWS_MAX) / new_rows_s,
        },
    )


def _until_new_rows(queries: Queries, wanted: int) -> float:
    """How long it takes to make that many rows."""
    begun_s, took_s = time.perf_counter(), 0.0

    def told(done: int, _total: int) -> None:
        nonlocal took_s
        if done >= wanted and not took_s:
            took_s = time.perf_counter() - begun_s

    queries.rebuild("readings", told)
    return took_s
