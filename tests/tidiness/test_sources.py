"""Every source file is whole, short, and names its units."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(ROOT.glob("src/**/*.py"))
LINES_MAX = 500

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
# A number whose name ends in one of these means nothing without a unit after it.
NEEDS_UNIT = re.compile(
    r"(^|_)(timeout|interval|delay|duration|period|age|ttl|retention|grace|elapsed|latency)$"
)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_holds_one_noun_and_fits_in_the_head(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_is_finished(path: Path) -> None:
    found = [line for line in path.read_text().splitlines() if UNFINISHED.search(line)]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_says_what_it_is_and_defers_its_annotations(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    defers = any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body
    )
    assert defers or len(tree.body) == 1, "from __future__ import annotations"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_sql_parameters_are_plain_or_named(path: Path) -> None:
    """From Python 3.14 on, sqlite3 refuses `?1` with a sequence; 3.11 gives no warning of it."""
    assert not re.findall(r"\?\d", path.read_text()), "write `?`, or `:name` with a mapping"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_measured_number_says_its_unit(path: Path) -> None:
    assert not _without_unit(path.read_text())


def test_a_number_without_a_unit_is_seen() -> None:
    source = "timeout: float\ndef f(grace: int | None, retention_s: float, delay: str): ...\n"
    assert _without_unit(source) == ["timeout (line 1)", "grace (line 2)"]


def _without_unit(source: str) -> list[str]:
    """Names of fields and parameters that hold a number of an unknown unit."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg) and node.annotation:
            name, kind = node.arg, ast.unparse(node.annotation)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind = node.target.id, ast.unparse(node.annotation)
        else:
            continue
        if NEEDS_UNIT.search(name) and re.search(r"\b(int|float)\b", kind):
            found.append(f"{name} (line {node.lineno})")
    return found
