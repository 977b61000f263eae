"""The benchmarks run, say what they are to say, and come to the right answers (or they fail)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--folder", str(folder), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    done = bench("--events", "3000", "--runs", "1", folder=tmp_path_factory.mktemp("bench"))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"]: line for line in found}


def test_each_benchmark_prints_one_line(lines: dict[str, dict[str, Any]]) -> None:
    assert list(lines) == [
        "hub.append",
        "hub.fetch",
        "hub.latency",
        "streams.filter",
        "streams.join",
        "streams.window",
        "state.restore",
        "views.rebuild",
        "services.commands",
        "services.latency",
        "gateway.commands",
    ]


def test_each_line_has_speed_memory_and_a_comparison(lines: dict[str, dict[str, Any]]) -> None:
    for line in lines.values():
        for figure in ("events", "events_per_s", "events_per_cpu_s", "peak_memory_mb"):
            assert line[figure] > 0
        ratios = [value for name, value in line.items() if name.startswith("ratio_to_")]
        assert ratios or line["name"] == "views.rebuild"  # there is nothing to compare it with
        assert all(ratio > 0 for ratio in ratios)


def test_latency_is_told_within_and_between_processes(lines: dict[str, dict[str, Any]]) -> None:
    line = lines["hub.latency"]
    assert 0 < line["p50_ms"] <= line["p99_ms"]
    assert 0 < line["p50_between_processes_ms"] <= line["p99_between_processes_ms"]


def test_the_time_of_commands_over_http_is_told(lines: dict[str, dict[str, Any]]) -> None:
    line = lines["gateway.commands"]
    assert 0 < line["p50_ms"] <= line["p99_ms"]


def test_an_unknown_name_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    done = bench("streams.fliter", folder=tmp_path)
    assert done.returncode == 2
    assert "streams.filter" in done.stderr
    assert not list(tmp_path.iterdir())
