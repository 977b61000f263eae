"""`vagus serve`: services behind one address."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

SERVICE = """
import vagus as vg
from pydantic import BaseModel


class {verb}(vg.Command):
    number: int


class {verb}Done(vg.Event):
    number: int


class State(BaseModel):
    count: int = 0


class Row(vg.Row):
    number: int


service = vg.Service("{name}")
things = service.aggregate(
    "{topic}",
    key="number",
    commands={verb},
    events={verb}Done,
    decider=vg.Decider(
        initial=State,
        decide=lambda command, state: {verb}Done(number=command.number),
        evolve=lambda state, event: State(count=state.count + 1),
    ),
)


@service.view("{name}s", Row, key="number", of=things)
def rows(event, rows):
    rows.put(Row(number=event.number))
"""


@pytest.fixture
def services(folder) -> list[str]:
    """The files of two services."""
    for name, verb in (("order", "PlaceOrder"), ("parcel", "SendParcel")):
        text = SERVICE.format(name=name, verb=verb, topic=name)
        (folder / f"{name}.py").write_text(text)
    return ["order.py", "parcel.py"]


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    """`vagus serve` in a process of its own, and a client of its address."""
    program = [sys.executable, "-m", "vagus.cli", "serve", *words, "--http", ":0"]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            url = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert url is not None, line + process.stderr.read()
            with httpx.Client(base_url=url[0], timeout=90) as http:
                yield process, http
        finally:
            process.kill()


@pytest.mark.parametrize("how", [[], ["--processes"]], ids=["threads", "processes"])
def test_services_answer_at_one_address_until_a_signal(services, how: list[str]):
    with serving(*services, *how) as (process, http):
        for name, verb in (("order", "place-order"), ("parcel", "send-parcel")):
            said = http.post(f"/commands/{verb}?timeout_s=60", json={"number": 7})
            assert said.status_code == 200, said.text
            asked = {"token": said.json()["token"], "wait_s": 60}
            assert http.get(f"/queries/{name}s/7", params=asked).json() == {"number": 7}
        paths = http.get("/openapi.json").json()["paths"]
        assert {"/commands/place-order", "/commands/send-parcel"} <= set(paths)
        http.get("/commands", headers={"X-Request-ID": "the-last"})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stderr is not None
        logged = [json.loads(line) for line in process.stderr if line.startswith("{")]
    assert logged[-1]["path"] == "/commands"
    assert logged[-1]["status"] == 200


def test_services_that_run_elsewhere_are_answered_for(services):
    run = [sys.executable, "-m", "vagus.cli", "run", "order.py"]
    with (
        subprocess.Popen(run, stderr=subprocess.DEVNULL) as elsewhere,
        serving("order.py", "--workers", "0") as (process, http),
    ):
        try:
            said = http.post("/commands/place-order?timeout_s=60", json={"number": 7})
            assert said.status_code == 200, said.text
        finally:
            elsewhere.kill()
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(60) == 0


def test_two_services_that_claim_a_topic_are_not_served(vagus, services, folder):
    text = SERVICE.format(name="other", verb="Other", topic="order")
    (folder / "other.py").write_text(text)
    said = vagus("serve", "order.py", "other.py", "--http", ":0", code=1).err
    assert "'order-command'" in said


def test_wrong_usage_is_told_in_one_line(vagus, services, folder):
    assert "[HOST]:PORT" in vagus("serve", "order.py", "--http", "x", code=2).err
    (folder / "access.toml").write_text("[[keys]]")
    said = vagus("serve", "order.py", "--http", ":0", "--access", "access.toml", code=1).err
    assert "did you mean 'key'" in said


def test_a_key_is_shown_once_and_its_digest_kept(vagus):
    done = vagus("access-key", "window", "--scope", "query:*")
    key = done.err.split()[-1]
    assert key not in done.out
    assert '"query:*"' in done.out
