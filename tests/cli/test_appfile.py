"""Applications in files."""

from __future__ import annotations

import pytest

APP = """
import vagus as vg

class Reading(vg.Event):
    sensor: str
    celsius: float

app = vg.App("weather")
readings = app.topic("reading", Reading, key="sensor")
readings.to("copy")
"""


def test_describe_draws_the_application_without_a_hub(vagus, write, folder):
    write("plain.py", APP)
    assert vagus("describe", "plain.py").out.startswith("weather\n  part 0\n    reads  reading\n")
    assert vagus("describe", "plain.py", "--mermaid").out.startswith("flowchart LR\n")
    assert [path.name for path in folder.glob("*.db")] == []


def test_one_of_several_applications_is_named(vagus, write):
    write("several.py", APP + 'other = vg.App("other")\n')
    assert "expected one application" in vagus("describe", "several.py", code=1).err
    assert vagus("describe", "several.py:other").out == "other\n"
    assert "did you mean 'other'?" in vagus("describe", "several.py:othr", code=1).err


def test_an_application_imports_what_lies_beside_it(vagus, write):
    write("beside_it.py", "NAME = 'found'\n")
    write("imports.py", "import vagus as vg\nfrom beside_it import NAME\napp = vg.App(NAME)\n")
    assert vagus("describe", "imports.py").out == "found\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import vagus as vg\napp = vg.App('x'\n", "syntax.py:2"),
        ("import vagus as vg\n\n1 / 0\n", "ZeroDivisionError: division by zero (at "),
        ("import vagus as vg\n\n\napp = vg.App('no spaces please')\n", "faulty.py:4"),
        ("import nothing_of_the_kind\n", "No module named 'nothing_of_the_kind'"),
        ("x = 1\n", "expected an application, got none"),
    ],
)
def test_a_faulty_file_is_one_line_with_its_place(vagus, write, text: str, told: str):
    name = "syntax.py" if told == "syntax.py:2" else "faulty.py"
    write(name, text)
    assert told in vagus("describe", name, code=1).err


def test_a_missing_file_is_told_with_the_nearest_name(vagus, write):
    write("fleet_app.py", APP)
    assert "did you mean 'fleet_app.py'?" in vagus("describe", "fleet_ap.py", code=1).err
