"""The events that all benchmarks use: a thousand buses, each reporting about once a second."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

import vagus as vg
from vagus.hub import TopicPartition

BUSES = 1_000
DRIVERS = 200
SEED = 20_260_101
_START_US = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_PIECE = 65_536


class BusPosition(vg.Event):
    """The six-field event."""

    bus_id: str
    driver_id: int
    latitude: float
    longitude: float
    speed_kmh: float
    at: datetime


class Driver(vg.Event):
    """A row of the table that is joined."""

    driver_id: int
    name: str
    depot: str


class Account(vg.Event):
    """A row of the table that is restored."""

    account_id: str
    owner: str
    balance: float


def fleet(name: str) -> tuple[vg.App, vg.Stream, vg.Table]:
    """An application that reads positions and drivers."""
    app = vg.App(name)
    positions = app.topic("bus-position", BusPosition, key="bus_id", time="at")
    drivers = app.table("driver", Driver, key="driver_id")
    return app, positions, drivers


def bank() -> tuple[vg.App, vg.Table]:
    """An application with a large table."""
    app = vg.App("bank")
    return app, app.table("account", Account, key="account_id")


def positions_frame(start: int, stop: int) -> pl.DataFrame:
    """Events number `start` up to `stop`: one a millisecond, up to two seconds out of order."""
    rng = np.random.default_rng([SEED, start])
    count = stop - start
    late_us = rng.integers(0, 2_000_000, count)
    at = _START_US + np.arange(start, stop, dtype=np.int64) * 1_000 - late_us + 2_000_000
    buses = pl.Series([f"bus-{number:04}" for number in range(BUSES)])
    return pl.DataFrame(
        {
            "bus_id": buses.gather(pl.Series(rng.integers(0, BUSES, count))),
            "driver_id": rng.integers(0, DRIVERS, count),
            "latitude": rng.uniform(52.3, 52.7, count),
            "longitude": rng.uniform(13.1, 13.7, count),
            "speed_kmh": rng.uniform(0, 100, count),
            "at": pl.Series(at).cast(pl.Datetime("us", "UTC")),
        }
    )


def pieces(count: int) -> list[tuple[int, int]]:
    """The bounds of the frames in which events are made."""
    return [(start, min(start + _PIECE, count)) for start in range(0, count, _PIECE)]


def all_positions(count: int) -> pl.DataFrame:
    """All events as one frame in memory, for plain Polars."""
    return pl.concat([positions_frame(*piece) for piece in pieces(count)], rechunk=True)


def drivers_frame() -> pl.DataFrame:
    """The table of drivers."""
    return pl.DataFrame(
        {
            "driver_id": list(range(DRIVERS)),
            "name": [f"Driver {number}" for number in range(DRIVERS)],
            "depot": [f"depot-{number % 7}" for number in range(DRIVERS)],
        }
    )


def accounts_frame(start: int, stop: int) -> pl.DataFrame:
    """Rows of the large table."""
    rng = np.random.default_rng([SEED, start])
    return pl.DataFrame(
        {
            "account_id": [f"account-{number:08}" for number in range(start, stop)],
            "owner": [f"owner {number % 10_007}" for number in range(start, stop)],
            "balance": rng.uniform(0, 1e6, stop - start),
        }
    )


def fill_fleet(path: Path, count: int) -> None:
    """Make a hub that holds `count` positions and all drivers."""
    app, positions, drivers = fleet("fill")
    with vg.Client(app, str(path)) as client:
        client.send(drivers, drivers_frame())
        for piece in pieces(count):
            client.send(positions, positions_frame(*piece), acks="leader")


def fill_bank(path: Path, count: int) -> None:
    """Make a hub that holds a table of `count` rows."""
    app, accounts = bank()
    with vg.Client(app, str(path)) as client:
        for piece in pieces(count):
            client.send(accounts, accounts_frame(*piece), acks="leader")


POSITIONS = TopicPartition("bus-position", 0)
