"""What is measured, and in which form it is told."""

from __future__ import annotations

import gc
import resource
import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self


@dataclass(slots=True)
class Span:
    """Wall-clock and CPU time (user and system, all threads of the process) of a `with` block."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    _begun: tuple[float, float] = (0.0, 0.0)

    def __enter__(self) -> Self:
        self._begun = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.wall_s += time.perf_counter() - self._begun[0]
        self.cpu_s += time.process_time() - self._begun[1]


@dataclass(slots=True)
class Result:
    """One line of the outcome.

    `events_per_s` and `events_per_cpu_s` leave the start of the process out. `ratios` are our
    speed divided by that of what it is compared with. `more` are figures of one benchmark only.
    """

    name: str
    events: int
    events_per_s: float
    events_per_cpu_s: float
    peak_memory_mb: float
    ratios: dict[str, float] = field(default_factory=dict)
    more: dict[str, float] = field(default_factory=dict)

    def line(self) -> dict[str, str | int | float]:
        """As it is printed."""
        return {
            "name": self.name,
            "events": self.events,
            "events_per_s": round(self.events_per_s),
            "events_per_cpu_s": round(self.events_per_cpu_s),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            **{f"ratio_to_{what}": _short(ratio) for what, ratio in self.ratios.items()},
            **{what: _short(value) for what, value in self.more.items()},
        }


def result(
    name: str,
    events: int,
    span: Span,
    *,
    ratios: dict[str, float] | None = None,
    more: dict[str, float] | None = None,
    peak_mb: float | None = None,
) -> Result:
    """The result of handling `events` in the time of `span`."""
    return Result(
        name,
        events,
        events / span.wall_s,
        events / span.cpu_s,
        peak_memory_mb() if peak_mb is None else peak_mb,
        ratios or {},
        more or {},
    )


def peak_memory_mb(whose: int = resource.RUSAGE_SELF) -> float:
    """The most memory that a process has had so far, in units of 1,000,000 bytes.

    It is this one, or with RUSAGE_CHILDREN the largest of those that it has seen end.
    """
    peak = resource.getrusage(whose).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def settle() -> None:
    """Throw away what was left over by preparations."""
    gc.collect()


def show(lines: list[dict[str, Any]]) -> None:
    """Print results as a table."""
    from rich.console import Console
    from rich.table import Table

    shown = ("name", "events", "events_per_s", "events_per_cpu_s", "peak_memory_mb")
    table = Table(*("benchmark", "events", "events/s", "events/CPU-s", "MB"), "more")
    for line in lines:
        more = [f"{what} {value:g}" for what, value in line.items() if what not in shown]
        cells = [f"{line[what]:,}" for what in shown[1:]]
        table.add_row(line["name"], *cells, "\n".join(more))
    for column in table.columns[1:5]:
        column.justify = "right"
    Console().print(table)


def _short(value: float) -> float:
    return value if isinstance(value, int) else float(f"{value:.4g}")
