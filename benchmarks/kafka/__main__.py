"""Run three jobs on Kafka: with Vagus, with Kafka Streams, and with a bare client.

One broker and one topic of events for all, each program in a process of its own, exactly once,
drained from the start. Rounds of all three alternate; what is printed is made of the medians.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.kafka import program
from benchmarks.kafka.jobs import JOBS
from benchmarks.kafka.rounds import Bench, Outcome
from benchmarks.measure import Result, show
from tests.kafka import jars
from tests.kafka.cluster import Cluster


def main() -> None:
    """The command."""
    options = _options()
    human = sys.stdout.isatty() and not options.json
    try:
        classpath = program.classpath()
        jars.fetch()
    except jars.Missing as missing:
        raise SystemExit(str(missing)) from None
    lines = []
    with tempfile.TemporaryDirectory(prefix="vagus-bench-") as folder, Cluster() as kafka:
        bench = Bench(kafka.bootstrap, classpath, Path(folder), options.events)
        bench.fill()
        for name in options.only or JOBS:
            if human:
                print(f"kafka.{name} ...", file=sys.stderr)
            outcomes = [bench.round(JOBS[name], number) for number in range(options.runs)]
            line = _result(name, options.events, outcomes).line()
            lines.append(line)
            if not human:
                print(json.dumps(line), flush=True)
    if human:
        show(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kafka", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="JOB", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--events", type=int, default=2_000_000, help="default %(default)s")
    parser.add_argument("--runs", type=int, default=3, help="of each (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="lines of JSON on a terminal, too")
    options = parser.parse_args()
    unknown = set(options.only) - set(JOBS)
    if unknown:
        parser.error(f"expected jobs among {', '.join(JOBS)}, got {', '.join(sorted(unknown))}")
    if options.events < 1 or options.runs < 1:
        parser.error("expected at least one event and one run")
    return options


def _result(name: str, events: int, outcomes: list[Outcome]) -> Result:
    def middle(program: str, figure: str) -> float:
        figures = [getattr(getattr(outcome, program), figure) for outcome in outcomes]
        return float(median(figures))

    def per_cpu(program: str) -> float:
        return events / middle(program, "cpu_s")

    def warm(program: str) -> float:
        return events / 2 / middle(program, "second_half_cpu_s")

    return Result(
        f"kafka.{name}",
        events,
        events / middle("vagus", "wall_s"),
        per_cpu("vagus"),
        middle("vagus", "peak_memory_mb"),
        {
            "kafka_streams": per_cpu("vagus") / per_cpu("kafka_streams"),
            "kafka_streams_warm": warm("vagus") / warm("kafka_streams"),
            "bare_client": per_cpu("vagus") / per_cpu("bare_client"),
        },
        {
            "events_per_cpu_s_warm": round(warm("vagus")),
            "start_cpu_s": middle("vagus", "start_cpu_s"),
            "kafka_streams_events_per_s": round(events / middle("kafka_streams", "wall_s")),
            "kafka_streams_events_per_cpu_s": round(per_cpu("kafka_streams")),
            "kafka_streams_events_per_cpu_s_warm": round(warm("kafka_streams")),
            "kafka_streams_start_cpu_s": middle("kafka_streams", "start_cpu_s"),
            "kafka_streams_peak_memory_mb": middle("kafka_streams", "peak_memory_mb"),
            "bare_client_events_per_s": round(events / middle("bare_client", "wall_s")),
            "bare_client_events_per_cpu_s": round(per_cpu("bare_client")),
        },
    )


if __name__ == "__main__":
    main()
