"""Registries: in memory, in a hub, reached over HTTP. Each keeps the same promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from vagus.errors import IncompatibleSchema, SchemaError
from vagus.events import MemoryRegistry, Registry
from vagus.hub import TopicPartition, connect
from vagus.hub.confluent import ConfluentRegistry
from vagus.hub.schemas import HubRegistry
from vagus.serve.registry import RegistryServer


def _schema(*names: str, name: str = "A") -> str:
    fields = [{"name": each, "type": "long", "default": 0} for each in names]
    return json.dumps({"type": "record", "name": name, "fields": fields})


@pytest.fixture(params=["memory", "hub", "rest"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if request.param == "memory":
        yield MemoryRegistry()
        return
    with connect(":memory:") as hub:
        if request.param == "hub":
            yield HubRegistry(hub)
            return
        with RegistryServer(hub, port=0) as server:
            yield ConfluentRegistry(server.url)


def test_a_schema_has_one_id_for_ever(registry: Registry) -> None:
    first = registry.register("a-value", _schema("x"))
    assert registry.register("a-value", _schema("x")) == first
    assert registry.register("b-value", _schema("x")) == first
    assert registry.register("a-value", _schema("x", "y")) != first
    assert json.loads(registry.schema(first)) == json.loads(_schema("x"))


def test_versions_count_up_in_each_subject(registry: Registry) -> None:
    one = registry.register("a-value", _schema("x"))
    two = registry.register("a-value", _schema("x", "y"))
    registry.register("b-value", _schema("x", "y"))
    assert registry.versions("a-value") == [(1, one), (2, two)]
    assert registry.versions("b-value") == [(1, two)]
    assert registry.subjects() == ["a-value", "b-value"]


def test_an_unknown_id_or_subject_is_refused(registry: Registry) -> None:
    registry.register("bus-value", _schema("x"))
    with pytest.raises(SchemaError, match="got 99"):
        registry.schema(99)
    with pytest.raises(SchemaError, match="did you mean 'bus-value'"):
        registry.versions("bus-valeu")


def test_an_incompatible_schema_is_refused_and_leaves_nothing(registry: Registry) -> None:
    registry.register("a-value", _schema("x"))
    broken = '{"type":"record","name":"A","fields":[{"name":"x","type":"string"}]}'
    with pytest.raises(IncompatibleSchema, match="a-value"):
        registry.register("a-value", broken)
    assert len(registry.versions("a-value")) == 1


def test_a_level_holds_for_its_subject_and_the_default_for_others(registry: Registry) -> None:
    assert registry.level("a-value") == "BACKWARD"
    registry.set_level(None, "FULL")
    registry.set_level("a-value", "NONE")
    assert (registry.level("a-value"), registry.level("b-value")) == ("NONE", "FULL")
    registry.register("a-value", _schema("x"))
    registry.register("a-value", '{"type":"record","name":"B","fields":[]}')
    with pytest.raises(SchemaError, match="expected one of"):
        registry.set_level("a-value", "SOME")  # type: ignore[arg-type]


def test_what_one_registers_the_other_knows() -> None:
    with connect(":memory:") as hub:
        one, two = HubRegistry(hub), HubRegistry(hub)
        with pytest.raises(SchemaError):
            two.schema(1)
        schema_id = one.register("a-value", _schema("x"))
        assert two.schema(schema_id) == _schema("x")
        assert two.register("a-value", _schema("x", "y")) == 2
        assert one.register("a-value", _schema("x", "y")) == 2


def test_the_records_are_those_that_confluents_registry_writes() -> None:
    with connect(":memory:") as hub:
        registry = HubRegistry(hub)
        registry.register("a-value", _schema("x"))
        registry.set_level("a-value", "FULL")
        partition = TopicPartition("_schemas", 0)
        with hub.reader({partition: 0}) as reader:
            (batch,) = reader.read()
            keys = batch.keys.to_list()
            values = batch.values.to_list()
            for more in reader.read():
                keys += more.keys.to_list()
                values += more.values.to_list()
    assert [json.loads(key or b"") for key in keys] == [
        {"keytype": "SCHEMA", "subject": "a-value", "version": 1, "magic": 1},
        {"keytype": "CONFIG", "subject": "a-value", "magic": 0},
    ]
    assert [json.loads(value or b"") for value in values] == [
        {"subject": "a-value", "version": 1, "id": 1, "schema": _schema("x"), "deleted": False},
        {"compatibilityLevel": "FULL"},
    ]


def _register_all(make: Callable[[], Any], names: list[str]) -> dict[str, int]:
    registry = make()
    return {name: registry.register(f"{name}-value", _schema("x", name=name)) for name in names}


def test_threads_that_register_at_once_agree() -> None:
    names = [f"R{number}" for number in range(8)]
    with connect(":memory:") as hub, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: _register_all(lambda: HubRegistry(hub), names), range(4)))
    assert found[1:] == found[:-1]
    assert sorted(found[0].values()) == list(range(1, 9))


def _register_in_process(path: str, names: list[str]) -> dict[str, int]:
    with connect(path) as hub:
        return _register_all(lambda: HubRegistry(hub), names)


def test_processes_that_register_at_once_agree(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.db")
    names = [f"R{number}" for number in range(6)]
    with get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_register_in_process, [(path, names)] * 3)
    assert found[1:] == found[:-1]
    assert sorted(found[0].values()) == list(range(1, 7))
