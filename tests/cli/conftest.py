"""What the tests of the command line share: a folder of their own, and commands run in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vagus.cli import main


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Vagus = Callable[..., Done]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAGUS_HUB", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def vagus(folder: Path, capfd: pytest.CaptureFixture[str]) -> Vagus:
    """Runs a command in this process; it fails the test unless the exit code is the expected."""

    def run(*words: str, code: int = 0) -> Done:
        capfd.readouterr()
        ended = main(words)
        out, err = capfd.readouterr()
        assert ended == code, f"vagus {' '.join(words)} ended with {ended}\n{out}{err}"
        assert "Traceback" not in err
        if code in (1, 2):
            assert len(err.splitlines()) == 1, err
            assert err.startswith("vagus: ")
        return Done(ended, out, err)

    return run


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], Path]:
    """Writes a file into the test's folder."""

    def to_file(name: str, text: str) -> Path:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


POSITIONS = """\
{"bus_id":"17","speed_kmh":31.5,"at":"2026-01-31T12:00:00Z","line":3}
{"bus_id":"18","speed_kmh":40,"at":"2026-01-31T12:00:05Z","line":null}

{"bus_id":"17","speed_kmh":33,"at":"2026-01-31T12:01:00.250Z","line":4}
"""


@pytest.fixture
def bus(vagus: Vagus, write: Callable[[str, str], Path]) -> str:
    """A topic with three events, in one partition."""
    write("positions.jsonl", POSITIONS)
    vagus("produce", "bus", "positions.jsonl", "--key", "bus_id", "--time", "at")
    return "bus"
