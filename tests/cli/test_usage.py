"""Help, wrong usage and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from vagus.cli import main
from vagus.cli.command import root

COMMANDS = sorted(
    (name, *([inner] if inner else []))
    for name, command in get_command(root).commands.items()
    for inner in (getattr(command, "commands", None) or [None])
)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_teaches_by_an_example(vagus, words: tuple[str, ...]):
    shown = vagus(*words, "--help").out
    assert "For example" in shown
    assert f"$ vagus {' '.join(words)}" in shown or f"| vagus {' '.join(words)}" in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["topc"], "did you mean 'topic'?"),
        (["topic", "lst"], "did you mean 'list'?"),
        (["topic", "list", "--jsn"], "did you mean '--json'?"),
        (["topic", "create"], "Missing argument 'TOPIC'"),
        (["consume", "bus", "--limit", "many"], "--limit"),
        (["consume", "bus", "--follow", "--until", "7"], "--follow has no end"),
        (["run", "fleet.py", "--workers", "0"], "--workers"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(vagus, words: list[str], told: str):
    assert told in vagus(*words, code=2).err


def test_no_command_shows_the_help(folder: Path, capfd: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "Commands" in capfd.readouterr().out


def test_the_version_is_shown(vagus):
    import vagus as package

    assert vagus("--version").out == f"{package.__version__}\n"


def test_help_imports_nothing_heavy(folder: Path):
    program = (
        "import sys\nfrom vagus.cli import main\nmain(['--help'])\nmain(['consume', '--help'])\n"
        "heavy = {'polars', 'pyarrow', 'numpy', 'fastapi', 'uvicorn', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder
    )
    assert done.stderr == "[]\n"


def test_debug_shows_the_traceback(folder: Path):
    done = subprocess.run(
        [sys.executable, "-m", "vagus.cli", "topic", "list", "--debug"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "HubError: no hub at vagus.db" in done.stderr


def test_a_reader_that_has_had_enough_is_no_error(vagus, bus, folder: Path):
    command = f"{sys.executable} -m vagus.cli consume bus --json | head -1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize(("number", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_that_comes_as_python_lets_go_of_an_object_is_not_lost(
    folder: Path, number: str, code: int
):
    (folder / "app.py").write_text(
        "import signal, time\n\n\n"
        "class Held:\n"
        "    def __del__(self):\n"
        f"        signal.raise_signal(signal.{number})\n\n\n"
        "Held()\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "vagus.cli", "describe", "app.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert (done.returncode, done.stderr) == (code, "")
