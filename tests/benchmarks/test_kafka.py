"""The benchmarks on Kafka run, and what Vagus writes is what Kafka Streams writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.kafka import program
from tests.kafka import jars
from tests.kafka.fixtures import skip_unless_required

ROOT = Path(__file__).parents[2]
OTHERS = {"kafka_streams", "kafka_streams_warm", "bare_client"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.kafka", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def lines(brokers: None) -> list[dict[str, Any]]:
    try:
        program.classpath()
    except jars.Missing as missing:
        skip_unless_required(str(missing))
    done = bench("join", "window", "--events", "3000", "--runs", "1")
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_job_prints_one_line_if_the_outputs_are_equal(lines: list[dict[str, Any]]) -> None:
    assert [line["name"] for line in lines] == ["kafka.join", "kafka.window"]


def test_each_line_has_speed_memory_and_the_comparisons(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        for figure in ("events", "events_per_s", "events_per_cpu_s", "peak_memory_mb"):
            assert line[figure] > 0
        assert {name for name in line if name.startswith("ratio_to_")} == {
            f"ratio_to_{other}" for other in OTHERS
        }


def test_an_unknown_job_is_refused_with_the_known_ones() -> None:
    done = bench("windwo")
    assert done.returncode == 2
    assert "filter, join, window" in done.stderr
