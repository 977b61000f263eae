"""The topic `_schemas`: records as Confluent's registry and Karapace write and read them."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from tests.registry.conftest import Rest, record, text
from vagus.errors import HubUnavailable, SchemaError
from vagus.hub import Hub, Records, TopicConfig, TopicPartition
from vagus.hub.schemas import HubRegistry

_PARTITION = TopicPartition("_schemas", 0)
X, XY, XYZ = record("x"), record("x", "y"), record("x", "y", "z")


def _records(hub: Hub) -> list[tuple[str, Any]]:
    """Keys as they are, values as JSON."""
    end = hub.offsets([_PARTITION], "latest")[_PARTITION]
    found: list[tuple[str, Any]] = []
    with hub.reader({_PARTITION: 0}) as reader:
        while reader.positions()[_PARTITION] < end:
            for batch in reader.read(wait_s=1.0):
                for key, value in zip(batch.keys.to_list(), batch.values.to_list(), strict=True):
                    said = None if value is None else json.loads(value)
                    found.append(((key or b"").decode(), said))
    return found


def _write(hub: Hub, *records: tuple[Any, Any]) -> None:
    """Append records as another registry would."""
    if "_schemas" not in hub.topics():
        hub.create_topic("_schemas", TopicConfig(cleanup="compact"))
    keys = [json.dumps(key).encode() if not isinstance(key, bytes) else key for key, _ in records]
    values = [None if value is None else json.dumps(value).encode() for _, value in records]
    hub.append([(_PARTITION, Records.of(keys, values, [0] * len(keys)))])


def _schema_record(subject: str, version: int, schema_id: int, schema: str, **more: Any) -> Any:
    key = {"keytype": "SCHEMA", "subject": subject, "version": version, "magic": 1}
    value = {"subject": subject, "version": version, "id": schema_id, "schema": schema}
    return key, {**value, "deleted": False, **more}


def test_every_change_is_a_record_of_confluents(hub: Hub, rest: Rest) -> None:
    rest.register("a", X)
    rest.register("a", XY)
    rest("PUT", "/config", {"compatibility": "FULL"})
    rest("PUT", "/config/a", {"compatibility": "NONE"})
    rest("PUT", "/mode/a", {"mode": "READWRITE"})
    rest("DELETE", "/subjects/a/versions/1")
    rest("DELETE", "/subjects/a")
    rest("DELETE", "/subjects/a", permanent="true")
    rest("DELETE", "/config")
    schema = '{"keytype":"SCHEMA","subject":"a","version":%d,"magic":1}'
    config = '{"keytype":"CONFIG","subject":"a","magic":0}'
    mode = '{"keytype":"MODE","subject":"a","magic":0}'
    every = '{"keytype":"CONFIG","subject":null,"magic":0}'
    first = {"subject": "a", "version": 1, "id": 1, "schema": text(X), "deleted": False}
    second = {"subject": "a", "version": 2, "id": 2, "schema": text(XY), "deleted": False}
    assert _records(hub) == [
        (schema % 1, first),
        (schema % 2, second),
        (every, {"compatibilityLevel": "FULL"}),
        (config, {"compatibilityLevel": "NONE"}),
        (mode, {"subject": "a", "mode": "READWRITE"}),
        (schema % 1, {**first, "deleted": True}),
        (
            '{"keytype":"DELETE_SUBJECT","subject":"a","magic":0}',
            {"subject": "a", "version": 2},
        ),
        (config, None),
        (mode, None),
        ('{"keytype":"NOOP","magic":0}', {"id": 2}),
        (schema % 1, None),
        (schema % 2, None),
        (every, None),
    ]


def test_a_second_reader_of_the_topic_knows_the_same(hub: Hub, rest: Rest) -> None:
    rest.register("a", X)
    rest.register("a", XY)
    rest.register("b", X)
    rest("PUT", "/config/a", {"compatibility": "NONE"})
    rest("PUT", "/mode", {"mode": "READONLY"})
    rest("PUT", "/mode/b", {"mode": "READWRITE"})
    rest("DELETE", "/subjects/b")
    other = Rest(hub)
    for path in (
        "/subjects?deleted=true",
        "/subjects/a/versions",
        "/subjects/a/versions/latest",
        "/schemas/ids/1/versions?deleted=true",
        "/config/a",
        "/mode",
        "/mode/b",
    ):
        assert other("GET", path) == rest("GET", path)


def test_ids_go_on_from_those_that_another_registry_gave(hub: Hub, rest: Rest) -> None:
    _write(
        hub,
        ({"keytype": "NOOP", "magic": 0}, None),
        _schema_record("a-value", 1, 41, text(X)),
        _schema_record("b-value", 1, 7, text(XY), deleted=True),
    )
    assert rest.register("a-value", X) == 41
    assert rest.register("a-value", XY) == 7
    assert rest.register("a-value", XYZ) == 42


def test_what_another_registry_deleted_is_deleted(hub: Hub, rest: Rest) -> None:
    _write(
        hub,
        _schema_record("a", 1, 1, text(X)),
        _schema_record("a", 2, 2, text(XY)),
        (
            {"keytype": "DELETE_SUBJECT", "subject": "a", "magic": 0},
            {"subject": "a", "version": 1},
        ),
    )
    assert rest("GET", "/subjects/a/versions") == (200, [2])


def test_schemas_of_other_kinds_are_shown_but_not_taken_for_avro(hub: Hub, rest: Rest) -> None:
    proto = 'syntax = "proto3"; message A {}'
    references = [{"name": "A", "subject": "a", "version": 1}]
    uses_a = {"type": "record", "name": "B", "fields": [{"name": "a", "type": "A"}]}
    _write(
        hub,
        _schema_record("a", 1, 1, text(X)),
        _schema_record("p", 1, 2, proto, schemaType="PROTOBUF"),
        _schema_record("b", 1, 3, text(uses_a), references=references),
    )
    assert rest("GET", "/schemas/ids/2") == (200, {"schema": proto, "schemaType": "PROTOBUF"})
    assert rest("GET", "/subjects/b/versions/1")[1]["references"] == references
    assert rest("GET", "/subjects/a/versions/1/referencedby") == (200, [3])
    assert rest("DELETE", "/subjects/a")[1]["error_code"] == 42206
    registry = HubRegistry(hub)
    with pytest.raises(SchemaError, match="got PROTOBUF"):
        registry.schema(2)
    with pytest.raises(SchemaError, match="names other subjects"):
        registry.schema(3)


def test_records_that_say_nothing_to_a_registry_are_passed_over(hub: Hub, rest: Rest) -> None:
    _write(
        hub,
        (b"\xff", None),
        (b"7", {}),
        (b"{}", {}),
        (b'{"keytype":"CLUSTER","magic":0}', {"x": 1}),
        (b'{"keytype":"SCHEMA","subject":"a","version":"one","magic":1}', {"id": 1}),
        (b'{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}', {"id": 1}),
        ({"keytype": "CONFIG", "subject": None, "magic": 0}, {"compatibilityLevel": "SOME"}),
        ({"keytype": "MODE", "subject": "b", "magic": 0}, {"mode": "IMPORT"}),
        _schema_record("broken", 1, 3, "{"),
    )
    assert rest("GET", "/subjects") == (200, ["broken"])
    assert rest("GET", "/config") == (200, {"compatibilityLevel": "BACKWARD"})
    assert rest.register("a", X) == 4
    # A mode that isn't ours means at least that we are not to write.
    assert rest("GET", "/mode/b") == (200, {"mode": "READONLY"})


class _Unsure:
    """A hub whose commits fail, each with a given outcome: before, or after they were made."""

    def __init__(self, hub: Hub, outcomes: list[str]) -> None:
        self._hub, self._outcomes = hub, outcomes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def begin(self, transactional_id: str) -> Any:
        transaction = self._hub.begin(transactional_id)
        commit = transaction.commit

        def fail(*given: Any) -> None:
            outcome = self._outcomes.pop(0) if self._outcomes else "made"
            if outcome != "lost":
                commit(*given)
            if outcome != "made":
                raise HubUnavailable("nobody knows what came of it")

        transaction.commit = fail  # type: ignore[method-assign]
        return transaction


@pytest.mark.parametrize("outcomes", [["lost"], ["unheard"], ["lost", "unheard"]])
def test_a_commit_with_an_unknown_outcome_is_looked_at_again(hub: Hub, outcomes: list[str]) -> None:
    registry = HubRegistry(cast("Hub", _Unsure(hub, outcomes)))
    assert registry.register("a", text(X)) == 1
    assert registry.register("a", text(XY)) == 2
    assert [key for key, _ in _records(hub)] == [
        '{"keytype":"SCHEMA","subject":"a","version":1,"magic":1}',
        '{"keytype":"SCHEMA","subject":"a","version":2,"magic":1}',
    ]


def test_commits_that_always_fail_are_an_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vagus.hub.ledger._UNSURE_S", 0.1)
    registry = HubRegistry(cast("Hub", _Unsure(hub, ["lost"] * 99)))
    with pytest.raises(HubUnavailable, match="nobody knows"):
        registry.register("a", text(X))
    assert _records(hub) == []
