"""Run the benchmarks: one line of JSON each, or a table for people on a terminal.

Each runs in fresh processes, so that what it needs of memory is its own. It runs several times,
each time on a copy of the same hub; the line that is printed is that of the run in the middle.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.options import Options

# Nothing heavy is imported here: a child's peak of memory begins at that of its parent.


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark, what its hub is filled with, and how many events it takes at the most."""

    name: str
    fill: str | None = None
    events_max: int | None = None


BENCHMARKS = [
    Benchmark("hub.append"),
    Benchmark("hub.fetch", "fill.fleet"),
    Benchmark("hub.latency"),
    Benchmark("streams.filter", "fill.fleet"),
    Benchmark("streams.join", "fill.fleet"),
    Benchmark("streams.window", "fill.fleet"),
    Benchmark("state.restore", "fill.bank", 1_000_000),
    Benchmark("views.rebuild", "fill.fleet"),
    Benchmark("services.commands", events_max=100_000),
    Benchmark("services.latency", events_max=10_000),
    Benchmark("gateway.commands", events_max=20_000),
]


def main() -> None:
    """The command."""
    options = _options()
    chosen = [one for one in BENCHMARKS if not options.only or one.name in options.only]
    human = sys.stdout.isatty() and not options.json
    lines = []
    with tempfile.TemporaryDirectory(prefix="vagus-bench-", dir=options.folder) as folder:
        for benchmark in chosen:
            if human:
                print(f"{benchmark.name} ...", file=sys.stderr)
            line = _run(benchmark, Path(folder), options.events, options.runs)
            lines.append(line)
            if not human:
                print(json.dumps(line), flush=True)
    if human:
        from benchmarks.measure import show

        show(lines)


def _options() -> Any:
    options = Options("benchmarks", __doc__, [one.name for one in BENCHMARKS])
    options.parser.add_argument(
        "--folder", help="where files are written: on the disk to be measured"
    )
    return options.read()


def _run(benchmark: Benchmark, folder: Path, events: int, runs: int) -> dict[str, Any]:
    count = min(events, benchmark.events_max or events)
    filled = folder / f"{benchmark.fill}-{count}.db"
    if benchmark.fill is not None and not filled.exists():
        _child(benchmark.fill, filled, count)
    outcomes = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            path = Path(fresh) / "vagus.db"
            if benchmark.fill is not None:
                shutil.copyfile(filled, path)
            outcomes.append(json.loads(_child(benchmark.name, path, count)))
    outcomes.sort(key=lambda outcome: outcome["events_per_cpu_s"])
    middle: dict[str, Any] = outcomes[len(outcomes) // 2]
    return middle


def _child(name: str, path: Path, count: int) -> str:
    command = [sys.executable, "-m", "benchmarks.one", name, str(path), str(count)]
    root = Path(__file__).parents[1]
    # The filling compiles the modules, so that the start of the benchmark is one as users have it.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        command, cwd=root, env=env, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{name} failed (exit code {done.returncode})")
    return done.stdout


if __name__ == "__main__":
    main()
