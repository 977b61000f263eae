"""`vagus registry serve`, and the commands with `--registry`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import vagus as vg
from tests.kafka.node import free_ports
from tests.registry.conftest import Rest
from vagus.cli import main
from vagus.errors import RegistryUnavailable
from vagus.hub import Hub, TopicPartition, connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.runner import Runner
from vagus.serve.registry import RegistryServer

FLEET = """
import vagus as vg

class Position(vg.Event):
    bus: str
    kmh: float

app = vg.App("fleet")
positions = app.topic("position", Position, key="bus", partitions=2)
positions.group_by().agg(n=vg.count()).to_table("counts", partitions=2)
"""


@contextmanager
def _started(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A command in a process of its own, and the first line that it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vagus.cli", *words], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        yield process, process.stderr.readline()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[RegistryServer, HubRegistry]]:
    """A registry that isn't that of the hub at hand."""
    with connect(":memory:") as elsewhere, RegistryServer(elsewhere, port=0) as server:
        yield server, HubRegistry(elsewhere)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _out(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capfd.readouterr()
    ended = main(words)
    out, err = capfd.readouterr()
    assert ended == code, err
    return err if code else out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_hubs_schemas_are_served_until_a_signal(number: signal.Signals) -> None:
    with connect("vagus.db") as hub:
        HubRegistry(hub).register("a-value", '"string"')
    with _started("registry", "serve", "--http", ":0") as (process, line):
        url = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert url is not None, line
        assert httpx.get(f"{url[0]}/subjects").json() == ["a-value"]
        os.kill(process.pid, number)
        assert process.wait() == 0


def test_a_hub_that_is_not_there_is_not_served(capfd: pytest.CaptureFixture[str]) -> None:
    assert "no hub at vagus.db" in _out(capfd, "registry", "serve", code=1)
    assert "[HOST]:PORT" in _out(capfd, "registry", "serve", "--http", "x", code=2)


def test_commands_read_and_write_with_the_registry_that_is_named(
    other: tuple[RegistryServer, HubRegistry],
    folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, schemas = other
    schemas.register("first", '"long"')  # so that ids differ from what a hub would give
    (folder / "rows.jsonl").write_text('{"bus": "42", "kmh": 51.5}\n')
    given = ("--registry", server.url)
    _out(capfd, "produce", "position", "rows.jsonl", "--key", "bus", *given)
    assert schemas.subjects() == ["first", "position-value"]
    with connect("vagus.db") as hub:
        assert "_schemas" not in hub.topics()
    monkeypatch.setenv("VAGUS_REGISTRY", server.url)
    row = json.loads(_out(capfd, "consume", "position", "--json"))
    assert (row["_key"], row["bus"], row["kmh"]) == ("42", "42", 51.5)
    listed = json.loads(_out(capfd, "schema", "list", "--json"))
    assert [(each["subject"], each["name"]) for each in listed] == [
        ("first", "(no record)"),
        ("position-value", "Position"),
    ]
    shown = json.loads(_out(capfd, "schema", "show", "position"))
    assert [field["name"] for field in shown["fields"]] == ["bus", "kmh"]
    (folder / "fleet.py").write_text(FLEET)
    _out(capfd, "schema", "check", "fleet.py", code=3)


class Arrived(vg.Event):
    bus: str


class Left(vg.Event):
    bus: str


def test_the_schema_of_a_topics_keys_is_not_taken_for_a_type_of_its_events(
    capfd: pytest.CaptureFixture[str],
) -> None:
    app = vg.App("stops")
    stops = app.topic("stop", Arrived | Left, key="bus")
    with vg.Client(app, "vagus.db") as client:
        client.registry.register("stop-key", '"string"')
        client.registry.register("stop-key-other", '["null","string"]')
        client.send(stops, [Arrived(bus="42"), Left(bus="42")])
    rows = [json.loads(line) for line in _out(capfd, "consume", "stop", "--json").splitlines()]
    assert [row["_type"] for row in rows] == ["Arrived", "Left"]


def test_worker_processes_open_the_registry_that_is_named(
    other: tuple[RegistryServer, HubRegistry], folder: Path
) -> None:
    server, schemas = other
    schemas.register("first", '"long"')
    (folder / "fleet.py").write_text(FLEET)
    app = _fleet(folder)
    with vg.Client(app, "vagus.db", registry=server.url) as client:
        event = app.topics["position"].schemas[0].event_type
        assert event is not None
        client.send("position", [event(bus=str(n % 5), kmh=1.0 * n) for n in range(50)])
        words = ("run", "fleet.py", "--workers", "2", "--http", ":0", "--registry", server.url)
        with _started(*words) as (process, line):
            while "counts" not in client.hub.topics() or _sum(client) < 50:
                assert process.poll() is None
                _wait_for_more(client.hub)
            view = line.strip() + "/counts/0"
            while httpx.get(view).status_code != 200:
                assert process.poll() is None
            assert httpx.get(view).json() == {"bus": "0", "n": 10}
            os.kill(process.pid, signal.SIGTERM)
            assert process.stderr is not None
            assert process.wait() == 0, process.stderr.read()
        assert "_schemas" not in client.hub.topics()
    assert "counts-value" in schemas.subjects()


def _fleet(folder: Path) -> vg.App:
    from vagus.cli.appfile import load_app

    return load_app(str(folder / "fleet.py"))


def _sum(client: vg.Client) -> int:
    newest = client.read("counts").group_by("_key").last()
    return int(newest["n"].sum() or 0)


def _wait_for_more(hub: Hub) -> None:
    """Until something is appended to the position topic's results, or a moment has passed."""
    if "counts" not in hub.topics():
        topic = TopicPartition("position", 0)
    else:
        topic = TopicPartition("counts", 0)
    with hub.reader(hub.offsets([topic], "latest")) as reader:
        reader.read(wait_s=0.1)


def test_an_application_stops_when_its_registry_is_down_and_sets_nothing_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.hub.rest.DEADLINE_S", 0.3)
    (folder / "fleet.py").write_text(FLEET)
    app = _fleet(folder)
    event = app.topics["position"].schemas[0].event_type
    assert event is not None
    (free,) = free_ports(1)
    with connect(":memory:") as hub:
        with vg.Client(app, hub) as client:
            client.send("position", event(bus="42", kmh=1.0))
        with pytest.raises(RegistryUnavailable, match=str(free)):
            Runner(app, hub, registry=f"http://127.0.0.1:{free}").run()
        read = [TopicPartition("position", number) for number in range(2)]
        assert not any(hub.committed("fleet", read).values())
        assert "fleet-dead-letters" not in hub.topics() or not _letters(hub)


def _letters(hub: Hub) -> int:
    info = hub.describe_topic("fleet-dead-letters")
    return sum(part.end_offset - part.start_offset for part in info.partitions)


def test_a_registry_that_is_down_is_told_in_one_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    monkeypatch.setattr("vagus.hub.rest.DEADLINE_S", 0.3)
    (free,) = free_ports(1)
    url = f"http://127.0.0.1:{free}"
    with connect("vagus.db") as made:
        HubRegistry(made).register("a-value", '"string"')
    told = _out(capfd, "schema", "list", "--registry", url, code=1)
    assert told.startswith("vagus: ")
    assert url in told
    assert len(told.splitlines()) == 1
    assert Rest(hub)("GET", "/subjects") == (200, [])
