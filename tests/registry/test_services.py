"""Services whose schemas live in a registry elsewhere, and whoever sends them commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import vagus as vg
from tests.contract.hubs import eventually
from tests.services.bank import Deposit, bank
from vagus.cli import main
from vagus.hub import Hub, connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.runner import Runner
from vagus.serve.gateway import Gateway
from vagus.serve.registry import RegistryServer

SERVICE = """
import vagus as vg
from tests.services.bank import Deposit, bank

service = bank()


class Row(vg.Row):
    account: str
    cents: int


@service.view("balance", Row, key="account", of=service.aggregates["account"])
def balance(event, rows):
    rows.put(Row(account=event.account, cents=event.cents))


@service.on(service.aggregates["account"].events)
def again(event, call):
    if event.cents == 5:
        service.call(Deposit(account=event.account, cents=6), wait=False)
"""


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, HubRegistry]]:
    """A registry that isn't that of the service's hub: its URL, and itself."""
    with connect(":memory:") as other, RegistryServer(other, port=0) as server:
        HubRegistry(other).register("first", '"long"')  # so that ids differ
        yield server.url, HubRegistry(other)


@contextmanager
def _at_work(service: vg.Service, hub: Hub, registry: str) -> Iterator[None]:
    runner = Runner(service, hub, registry=registry)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join()


def test_a_client_writes_commands_with_the_services_registry(
    elsewhere: tuple[str, HubRegistry],
) -> None:
    url, registry = elsewhere
    service = bank()
    with (
        connect(":memory:") as hub,
        _at_work(service, hub, url),
        service.connect(hub, registry=url) as client,
    ):
        assert client.call(Deposit(account="a", cents=5)).version == 1
        assert "_schemas" not in hub.topics()
    assert any(subject.startswith("account-command") for subject in registry.subjects())


def test_a_gateway_writes_commands_with_the_registry_it_is_given(
    elsewhere: tuple[str, HubRegistry],
) -> None:
    url, registry = elsewhere
    service = bank()
    with (
        connect(":memory:") as hub,
        _at_work(service, hub, url),
        Gateway([service], hub, registry=registry, address=("127.0.0.1", 0)) as gateway,
    ):
        said = httpx.post(f"{gateway.url}/commands/deposit", json={"account": "a", "cents": 5})
        assert said.status_code == 200, said.text
        own = service.call(Deposit(account="a", cents=6))
        assert own.version == 2
        assert "_schemas" not in hub.topics()


@pytest.mark.parametrize("command", ["run", "serve"])
def test_commands_of_a_service_that_is_run_use_its_registry(
    command: str,
    elsewhere: tuple[str, HubRegistry],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Those of other programs, and those that its handlers send by `service.call`."""
    url, _ = elsewhere
    monkeypatch.chdir(tmp_path)
    (tmp_path / "service.py").write_text(SERVICE)
    words = [command, "service.py"] + (["--http", ":0"] if command == "serve" else [])
    settings = os.environ | {"VAGUS_REGISTRY": url, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-m", "vagus.cli", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=settings,
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            with (
                connect("vagus.db") as hub,
                bank().connect(hub, registry=url) as client,
            ):
                if command == "serve":
                    address = re.search(r"http://127\.0\.0\.1:\d+", line)
                    assert address is not None, line
                    asked = httpx.post(
                        f"{address[0]}/commands/deposit",
                        json={"account": "a", "cents": 5},
                        timeout=60,
                    )
                    assert asked.status_code == 200, asked.text
                else:
                    assert client.call(Deposit(account="a", cents=5), timeout_s=60).accepted
                events = vg.Client(bank(), hub, registry=url)
                eventually(
                    lambda: events.read("account-event")["cents"].to_list() == [5, 6],
                    "the handler's command is done",
                )
                assert "_schemas" not in hub.topics()
        finally:
            process.terminate()
    monkeypatch.setenv("VAGUS_REGISTRY", url)
    capfd.readouterr()
    assert main(["trace", "account-event/0/0", "--json"]) == 0
    types = [event["type"] for event in json.loads(capfd.readouterr().out)["events"]]
    assert types[:2] == ["Deposit", "Deposited"]
