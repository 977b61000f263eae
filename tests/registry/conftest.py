"""A hub in memory, and its registry served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.kafka import jars
from tests.kafka.fixtures import skip_unless_required
from tests.registry.java.program import Java
from vagus.hub import Hub, connect
from vagus.hub.schemas import HubRegistry
from vagus.serve.registry import RegistryServer
from vagus.serve.registry.api import create_api


@pytest.fixture(autouse=True)
def _nobody_in_particular(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "PASSWORD", "PASSWORD_FILE", "CA", "CERT", "KEY", "KEY_PASSWORD"):
        monkeypatch.delenv(f"VAGUS_REGISTRY_{name}", raising=False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with connect(":memory:") as opened:
        yield opened


@pytest.fixture
def server(hub: Hub) -> Iterator[RegistryServer]:
    with RegistryServer(hub, port=0) as started:
        yield started


class Rest:
    """Asks, and gives the answer's status and content."""

    def __init__(self, hub: Hub) -> None:
        self.client = TestClient(create_api(HubRegistry(hub)))

    def __call__(self, method: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        answer = self.client.request(method, path, json=body, params=query or None)
        return answer.status_code, answer.json()

    def register(self, subject: str, schema: Any) -> int:
        status, said = self("POST", f"/subjects/{subject}/versions", {"schema": text(schema)})
        assert status == 200, said
        return int(said["id"])


@pytest.fixture
def rest(hub: Hub) -> Rest:
    return Rest(hub)


@pytest.fixture(scope="session")
def java(brokers: None, tmp_path_factory: pytest.TempPathFactory) -> Java:
    try:
        return Java(tmp_path_factory.mktemp("classes"))
    except jars.Missing as missing:
        skip_unless_required(str(missing))
        raise


def text(schema: Any) -> str:
    """A schema as it is registered."""
    return schema if isinstance(schema, str) else json.dumps(schema)


def record(*names: str, **more: Any) -> dict[str, Any]:
    """A record of whole numbers, each with a default."""
    fields = [{"name": name, "type": "long", "default": 0} for name in names]
    return {"type": "record", "name": "A", "fields": fields, **more}
