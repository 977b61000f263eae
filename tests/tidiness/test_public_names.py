"""The names that users rely on are pinned, and each explains itself."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import vagus
from tests.tidiness.public import PINNED, is_documented_by_itself, public_names

DOCUMENTED = {
    name: value for name, value in public_names().items() if is_documented_by_itself(value)
}
# An error's example is the operation that raises it.
SHOWN_BY_EXAMPLE = [
    name
    for name, value in DOCUMENTED.items()
    if not isinstance(value, ModuleType)
    and not (inspect.isclass(value) and issubclass(value, Exception))
]
ROOMS = ("events", "hub", "runtime", "streams")
CLASSES = [name for name, value in DOCUMENTED.items() if inspect.isclass(value)]


def test_the_public_names_are_those_we_promised() -> None:
    promised = PINNED.read_text().split()
    assert sorted(public_names()) == promised, (
        "if this is on purpose: python -m tests.tidiness.public, and say so in CHANGELOG.md"
    )


def test_the_names_are_sorted_and_offered_by_dir() -> None:
    assert list(vagus.__all__) == sorted(vagus.__all__)
    assert set(vagus.__all__) <= set(dir(vagus))


def test_every_public_name_is_known_to_type_checkers() -> None:
    """The façade's names are loaded late, so its source must import each for type checkers."""
    source = inspect.getsource(vagus)
    missing = [
        name
        for name in vagus.__all__
        if not name.startswith("__") and f" {name} as {name}" not in source
    ]
    assert not missing


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'vagus' has no attribute 'nonsense'"):
        vagus.nonsense  # noqa: B018


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_name_has_a_docstring(name: str) -> None:
    assert _own_docstring(DOCUMENTED[name])


@pytest.mark.parametrize("name", SHOWN_BY_EXAMPLE)
def test_a_public_name_has_a_runnable_example(name: str) -> None:
    # That the example is true is tested by running it: pytest collects the docstrings of src/.
    assert ">>> " in _own_docstring(DOCUMENTED[name]), f"show how {name} is used, in its docstring"


@pytest.mark.parametrize("name", CLASSES)
def test_every_method_of_a_public_class_has_a_docstring(name: str) -> None:
    bare = [
        method
        for method, value in vars(DOCUMENTED[name]).items()
        if not method.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not inspect.getdoc(value)
    ]
    assert not bare


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_offers_to_others_is_documented(room: str) -> None:
    module = import_module(f"vagus.{room}")
    bare = [
        name
        for name in getattr(module, "__all__", [])
        if is_documented_by_itself(value := getattr(module, name)) and not _own_docstring(value)
    ]
    assert not bare


# Packages that take long to import, and that only some programs need.
HEAVY = ("polars", "pyarrow", "numpy", "pandas", "fastavro", "fastapi", "uvicorn", "asyncio")


@pytest.mark.parametrize(
    "program",
    [
        "import vagus",
        "from vagus import __version__",
        "import vagus; dir(vagus)",
    ],
)
def test_importing_vagus_loads_nothing_heavy(program: str) -> None:
    assert _heavy_modules_after(program) == ""


def test_asking_the_command_for_help_loads_nothing_heavy() -> None:
    program = """
import sys
from vagus.cli import main
sys.argv = ["vagus", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code
"""
    assert _heavy_modules_after(program) == ""


@pytest.mark.parametrize("name", public_names())
def test_a_public_name_is_in_the_reference(name: str) -> None:
    room = name.rpartition(".")[0]
    page = (PINNED.parents[2] / "docs" / "reference.md").read_text()
    words = re.findall(r"[\w.]+", page.replace("vg.", "vagus."))
    rooms = re.findall(r"automodule:: ([\w.]+)\n   :members:", page)
    assert name in words or room in rooms


def _own_docstring(value: object) -> str:
    """The docstring of the thing itself, not one that its class inherited."""
    return inspect.cleandoc(getattr(value, "__doc__", None) or "")


def _heavy_modules_after(program: str) -> str:
    report = f'\nimport sys; print("\\nloaded:", *[m for m in {HEAVY} if m in sys.modules])'
    done = subprocess.run(
        [sys.executable, "-c", program + report], capture_output=True, text=True, check=True
    )
    return done.stdout.rpartition("loaded:")[2].strip()
