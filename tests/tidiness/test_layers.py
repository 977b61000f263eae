"""The layers of pyproject.toml are kept, and a breach of them would be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the sources, which a test may spoil."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def _check_layers(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_layers_are_kept() -> None:
    done = _check_layers(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("module", "line", "breach"),
    [
        (
            "events/_spoilt.py",
            "import vagus.hub",
            "vagus.events is not allowed to import vagus.hub",
        ),
        ("hub/_spoilt.py", "import vagus.streams", "vagus.hub is not allowed to import"),
        ("runtime/_spoilt.py", "import fastapi", "vagus.runtime is not allowed to import fastapi"),
        ("streams/_spoilt.py", "import sqlite3", "vagus.streams is not allowed to import sqlite3"),
        ("unplaced.py", "", "unplaced"),
    ],
)
def test_a_breach_is_seen(copy: Path, module: str, line: str, breach: str) -> None:
    (copy / "src" / "vagus" / module).write_text(line + "\n")
    done = _check_layers(copy)
    assert done.returncode == 1
    assert breach in done.stdout
