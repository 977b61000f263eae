"""Run three jobs on Kafka: with Vagus, with Kafka Streams, and with a bare client.

One broker and one topic of events for all, each program in a process of its own, exactly once,
drained from the start. Rounds of all three alternate; what is printed is made of the medians.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.kafka import program
from benchmarks.kafka.jobs import JOBS
from benchmarks.kafka.rounds import Bench, Outcome
from benchmarks.measure import Result, show
from benchmarks.options import Options
from tests.kafka import jars
from tests.kafka.cluster import Cluster


def main() -> None:
    """The command."""
    options = Options("benchmarks.kafka", __doc__, JOBS).read()
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
