"""What is going on, read off the hub and shown while it changes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from vagus.hub import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from vagus.demo.flights.source import Source
    from vagus.hub import Hub
    from vagus.runtime.metrics import Metrics

SHOWN = (
    ("departure", "departures sent"),
    ("departure-enriched", "with plane, airline and weather"),
    ("delay-alert", "alerts: over an hour late"),
    ("airport-delay-1h", "changes of the table by airport and hour"),
    ("airline-delay-3h", "changes of the table by airline and 3 hours"),
)

_LINE_S = 2.0  # between lines where there is no terminal to draw on


@dataclass(frozen=True)
class Reading:
    """How far everything is at one moment.

    `counts` are events of each topic, of the outputs those that came since the start; `done` are
    the departures that were worked through, `lag` the events of any topic that were not.
    `hub_bytes` is None where the hub is no file.
    """

    at_s: float
    counts: dict[str, int]
    done: int
    lag: int
    hub_bytes: int | None


class Meter:
    """Reads positions off the hub, and what the workers have counted.

    Offsets don't count outputs: on Kafka, commits leave gaps between them.
    """

    def __init__(self, hub: Hub, metrics: Metrics, group: str, inputs: Iterable[str]) -> None:
        self._hub, self._metrics = hub, metrics
        self._group, self._inputs = group, list(inputs)

    def read(self) -> Reading:
        """How far everything is now."""
        there = set(self._hub.topics())
        inputs = [name for name in self._inputs if name in there]
        partitions = [
            TopicPartition(name, part.partition)
            for name in inputs
            for part in self._hub.describe_topic(name).partitions
        ]
        # Positions first: if they are at the ends that are read later, nothing is under way.
        done = self._hub.committed(self._group, partitions)
        ends = self._hub.offsets(partitions, "latest")
        lag = sum(end - done.get(partition, 0) for partition, end in ends.items())
        sent = sum(end for partition, end in ends.items() if partition.topic == "departure")
        through = sum(at for partition, at in done.items() if partition.topic == "departure")
        counts = {name: self._metrics.count("records_out", name) for name, _ in SHOWN}
        return Reading(time.monotonic(), counts | {"departure": sent}, through, lag, self._bytes())

    def _bytes(self) -> int | None:
        if "://" in self._hub.url:
            return None
        file = Path(self._hub.url)
        return sum(part.stat().st_size for part in file.parent.glob(f"{file.name}*"))


class Display:
    """A table that is drawn anew on a terminal; elsewhere a line every two seconds."""

    def __init__(self, console: Console, source: Source, url: str | None) -> None:
        self._console, self._source, self._url = console, source, url
        self._readings: list[Reading] = []
        self._line_due_s = time.monotonic() + _LINE_S
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, reading: Reading) -> None:
        """Show how far everything is now."""
        self._readings = [*self._readings[-10:], reading]
        done = reading.done
        if self._console.is_terminal:
            self._live.update(self._picture(reading), refresh=True)
        elif reading.at_s >= self._line_due_s:
            self._line_due_s = reading.at_s + _LINE_S
            self._console.print(
                f"{self._source.moment(done):%d %b %Y %H:%M}  "
                f"{reading.counts['departure']:,} of {self._source.total:,} departures sent, "
                f"{done:,} worked through"
            )

    def _picture(self, reading: Reading) -> Group:
        source, done = self._source, reading.done
        table = Table.grid(padding=(0, 2))
        table.add_column(justify="right", style="bold")
        table.add_column(justify="right", style="cyan")
        table.add_column()
        table.add_column(style="dim")
        for topic, what in SHOWN:
            rate = f"{self._rate(topic):,.0f}/s"
            table.add_row(f"{reading.counts[topic]:,}", rate, what, topic)
        state = Text.assemble((f"{reading.lag:,}", "bold"), " events to process")
        if reading.hub_bytes is not None:
            state.append("   ").append(f"{reading.hub_bytes / 1e6:,.0f} MB", "bold")
            state.append(" in the hub")
        if self._url:
            state.append(f"   {self._url}/views", style="dim")
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            Text(f"{source.moment(done):%d %b %Y %H:%M}", "bold"),
            ProgressBar(total=source.total, completed=done, width=40),
            f"{done / max(1, source.total):.0%}",
        )
        return Group("", bar, "", table, "", state)

    def _rate(self, topic: str) -> float:
        first, last = self._readings[0], self._readings[-1]
        passed_s = last.at_s - first.at_s
        return (last.counts[topic] - first.counts[topic]) / passed_s if passed_s else 0.0
