"""The project's own files keep their promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vagus

ROOT = Path(__file__).parents[2]
LOCKS = sorted(ROOT.glob("requirements/*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _locked(path: Path) -> list[str]:
    """The requirements of a lock file, each on one line with its hashes."""
    return path.read_text().replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_one_version_and_a_hash(path: Path) -> None:
    loose = [line for line in _locked(path) if "==" not in line or "--hash=sha256:" not in line]
    assert not loose


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_file_names_no_registry(path: Path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "--index" not in text


def test_every_declared_package_is_locked() -> None:
    """Without `make lock`, a new dependency would be missing on a new machine."""
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {
        _bare(item) for group in [*groups, *PROJECT["dependency-groups"].values()] for item in group
    }
    locked = {_bare(line) for path in LOCKS for line in _locked(path)}
    assert declared - {"vagus"} <= locked


def _bare(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_version_is_the_same_everywhere() -> None:
    assert vagus.__version__ == PROJECT["project"]["version"]


def _find_python(folder: Path, asked: str = "") -> subprocess.CompletedProcess[str]:
    """Run .ci/find-python where `folder` holds the only Pythons there are."""
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "find-python"), asked],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def _fake_python(path: Path, version: str, *, venv: bool = True) -> None:
    """A program that answers the questions of .ci/find-python as a Python of that version would."""
    minor = int(version.split(".")[1])
    path.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"*ensurepip*) exit {0 if venv else 1} ;;\n"
        f"*sys.exit*) exit {0 if minor >= 11 else 1} ;;\n"
        f"*%d.%d.%d*) echo {version} ;;\n"
        f"*) echo 3.{minor} ;;\n"
        "esac\n"
    )
    os.chmod(path, 0o755)


def test_python3_is_used_where_it_is_new_enough(tmp_path: Path) -> None:
    _fake_python(tmp_path / "python3", "3.11.2")
    _fake_python(tmp_path / "python3.13", "3.13.0")
    assert _find_python(tmp_path).stdout == f"{tmp_path}/python3\n"


def test_else_the_newest_python_is_used(tmp_path: Path) -> None:
    _fake_python(tmp_path / "python3", "3.9.2")
    _fake_python(tmp_path / "python3.11", "3.11.2")
    _fake_python(tmp_path / "python3.12", "3.12.1")
    assert _find_python(tmp_path).stdout == f"{tmp_path}/python3.12\n"


def test_a_python_too_old_is_one_clear_line(tmp_path: Path) -> None:
    _fake_python(tmp_path / "python3", "3.9.2")
    done = _find_python(tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "vagus: Python 3.11 or newer is needed, but python3 is 3.9.2: "
        "install a newer one, or name it: make PYTHON=/path/to/python3.12"
    ]


def test_a_python_without_venv_says_which_package_is_missing(tmp_path: Path) -> None:
    _fake_python(tmp_path / "python3", "3.12.1", venv=False)
    done = _find_python(tmp_path)
    assert done.returncode == 1
    assert "apt-get install python3.12-venv" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_no_python_at_all_is_one_clear_line(tmp_path: Path) -> None:
    done = _find_python(tmp_path)
    assert "there is no python3" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_python_that_was_asked_for_is_not_silently_replaced(tmp_path: Path) -> None:
    _fake_python(tmp_path / "python3", "3.11.2")
    _fake_python(tmp_path / "python3.9", "3.9.2")
    done = _find_python(tmp_path, asked=str(tmp_path / "python3.9"))
    assert done.returncode == 1
    assert done.stderr.strip().endswith("python3.9 is 3.9.2")


def test_a_group_of_tests_is_run_by_one_process(tmp_path: Path) -> None:
    """As `make test` runs them; else two clusters of brokers are there at once."""
    (tmp_path / "test_them.py").write_text(
        "import os, pathlib, pytest\n\n"
        "@pytest.mark.xdist_group('together')\n"
        "@pytest.mark.parametrize('number', range(6))\n"
        "def test_one(number):\n"
        "    pathlib.Path(os.environ['PYTEST_XDIST_WORKER']).touch()\n"
    )
    [options] = re.findall(r"-m pytest -n logical (.*) \$\(", (ROOT / "Makefile").read_text())
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "2",
        *options.split(),
        "-p",
        "no:cacheprovider",
    ]
    environment = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    assert len(list(tmp_path.glob("gw*"))) == 1
