"""The answers, and what to try next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import Console

    from vagus.streams.views import Views

_UTC = "%Y-%m-%dT%H:%M:%SZ"

WORST = 5
ENOUGH = 20  # departures in an hour that is compared with others


@dataclass(frozen=True)
class Answers:
    """What the tables say: the worst hours at an airport, and all airlines, worst first."""

    worst_hours: pl.DataFrame
    airlines: pl.DataFrame


def answers(views: Views) -> Answers:
    """Ask the application's tables."""
    hours = views["airport-delay-1h"].scan()
    worst = (
        hours.filter(pl.col("left") >= ENOUGH)
        .sort("delay_min", "window_start", "origin", descending=[True, False, False])
        .head(WORST)
    )
    windows = views["airline-delay-3h"].scan()
    left = pl.col("left").sum()
    # Each departure is in three windows that overlap, and so counts three times in each sum.
    ranked = (
        windows.group_by("carrier")
        .agg(
            pl.col("airline").first(),
            departures=pl.col("departures").sum() // 3,
            cancelled=(pl.col("departures") - pl.col("left")).sum() // 3,
            delay_min=(pl.col("delay_min") * pl.col("left")).sum() / left,
        )
        .sort("delay_min", descending=True, nulls_last=True)
    )
    return Answers(worst, ranked)


def show_answers(console: Console, found: Answers, alerts: int) -> None:
    """Print the answers."""
    hours = Table(title="The worst hours", title_justify="left", title_style="bold")
    for name in ("airport", "hour in New York"):
        hours.add_column(name)
    for name in ("departures", "mean delay, min", "worst, min"):
        hours.add_column(name, justify="right")
    start = pl.col("window_start").dt.convert_time_zone("America/New_York")
    for row in found.worst_hours.with_columns(start).iter_rows(named=True):
        hours.add_row(
            row["origin"],
            f"{row['window_start']:%a %d %b, %H:00}",
            f"{row['left']:,}",
            f"{row['delay_min']:.0f}",
            f"{row['worst_delay_min']:,}",
        )
    ranked = Table(title="The airlines, worst first", title_justify="left", title_style="bold")
    ranked.add_column("airline")
    for name in ("departures", "cancelled", "mean delay, min"):
        ranked.add_column(name, justify="right")
    for row in found.airlines.iter_rows(named=True):
        delay = "" if row["delay_min"] is None else f"{row['delay_min']:.1f}"
        ranked.add_row(row["airline"], f"{row['departures']:,}", f"{row['cancelled']:,}", delay)
    console.print(hours, "", ranked, "", sep="\n")
    console.print(f"[bold]{alerts:,}[/] departures were over an hour late: topic delay-alert.")


def queries(url: str, found: Answers) -> list[str]:
    """Queries of the tables at `url`: the worst hour, the hours before it, its weather."""
    asked = [f"{url}/views/airline/UA", f"{url}/views/plane/N14228"]
    for row in found.worst_hours.head(1).iter_rows(named=True):
        origin, start, end = row["origin"], row["window_start"], row["window_end"]
        bounds = f"window_from={start - timedelta(hours=6):{_UTC}}&window_to={end:{_UTC}}"
        asked.append(f"{url}/views/airport-delay-1h/{origin}?{bounds}")
        asked.append(f"{url}/views/airline-delay-3h?prefix=UA&{bounds}")
        asked.append(f"{url}/views/weather/{origin}-{start:%Y-%m-%dT%H}")
    return [f"curl '{each}'" for each in asked]
