"""confluent-kafka's own serializers: they read what we write, and we read what they write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

import vagus as vg
from tests.registry.conftest import record, text
from vagus.events import RecordSchema
from vagus.hub import Hub, Records, TopicPartition
from vagus.hub.schemas import HubRegistry
from vagus.serve.registry.api import create_api
from vagus.serve.web import Web

CONTEXT = SerializationContext("reading", MessageField.VALUE)
LOOKS_FOR = "/associations/resources/-/reading?resourceType=topic&associationType=value"


class Reading(vg.Event):
    sensor: str
    celsius: float | None
    at: datetime
    tags: list[str]


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROWS = [
    {"sensor": "roof", "celsius": 21.5, "at": NOON, "tags": ["a", "ä"]},
    {"sensor": "cellar", "celsius": None, "at": NOON, "tags": []},
]

app = vg.App("weather")
readings = app.topic("reading", Reading, key="sensor", time="at")


class Log:
    """What was asked, and the statuses that were answered."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        query = scope["query_string"].decode()
        place = scope["raw_path"].decode() + (f"?{query}" if query else "")

        async def note(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.asked.append((f"{scope['method']} {place}", message["status"]))
            await send(message)

        await self._api(scope, receive, note)


@pytest.fixture
def log(hub: Hub) -> Log:
    return Log(create_api(HubRegistry(hub)))


@pytest.fixture
def theirs(log: Log) -> Iterator[SchemaRegistryClient]:
    web = Web("127.0.0.1", 0)
    web.start(log)
    try:
        with SchemaRegistryClient({"url": web.url}) as client:
            yield client
    finally:
        web.stop()


def _values(hub: Hub, topic: str) -> list[bytes | None]:
    with hub.reader({TopicPartition(topic, 0): 0}) as reader:
        return [value for batch in reader.read(wait_s=1.0) for value in batch.values.to_list()]


def test_they_read_what_we_write(hub: Hub, theirs: SchemaRegistryClient, log: Log) -> None:
    with vg.Client(app, hub) as client:
        client.send(readings, [Reading(**row) for row in ROWS])
    read = AvroDeserializer(theirs)
    assert [read(value, CONTEXT) for value in _values(hub, "reading")] == ROWS
    assert (f"GET {LOOKS_FOR}", 404) in log.asked
    assert ("GET /schemas/ids/1?subject=reading-value", 200) in log.asked


def test_we_read_what_they_write(hub: Hub, theirs: SchemaRegistryClient, log: Log) -> None:
    write = AvroSerializer(theirs, RecordSchema.of(Reading).json)
    values = [write(row, CONTEXT) for row in ROWS]
    with vg.Client(app, hub) as client:
        hub.create_topic("reading", client.topic(readings).config)
        keys = [row["sensor"].encode() for row in ROWS]  # type: ignore[attr-defined]
        times = [round(NOON.timestamp() * 1000)] * len(ROWS)
        hub.append([(TopicPartition("reading", 0), Records.of(keys, values, times))])
        assert client.read(readings).select(*ROWS[0]).to_dicts() == ROWS
        client.send(readings, [Reading(**row) for row in ROWS])
    assert _values(hub, "reading")[2:] == values
    assert HubRegistry(hub).versions("reading-value") == [(1, 1)]
    assert log.asked == [
        (f"GET {LOOKS_FOR}", 404),
        ("POST /subjects/reading-value/versions?normalize=False", 200),
    ]


def test_they_find_a_schema_that_we_registered(
    hub: Hub, theirs: SchemaRegistryClient, log: Log
) -> None:
    schema = RecordSchema.of(Reading).json
    HubRegistry(hub).register("reading-value", schema)
    for settings, call in (
        ({"auto.register.schemas": False}, "POST /subjects/reading-value?normalize=False&"),
        (
            {"auto.register.schemas": False, "use.latest.version": True},
            "GET /subjects/reading-value/versions/latest",
        ),
    ):
        value = AvroSerializer(theirs, schema, conf=settings)(ROWS[0], CONTEXT)
        assert value[:5] == b"\0\0\0\0\1"
        assert [asked for asked, status in log.asked if asked.startswith(call) and status == 200]


def test_they_are_told_of_a_schema_that_does_not_fit(theirs: SchemaRegistryClient) -> None:
    broken = {"type": "record", "name": "A", "fields": [{"name": "x", "type": "string"}]}
    assert theirs.register_schema("a", Schema(text(record("x")), "AVRO")) == 1
    with pytest.raises(SchemaRegistryError) as caught:
        theirs.register_schema("a", Schema(text(broken), "AVRO"))
    assert (caught.value.http_status_code, caught.value.error_code) == (409, 409)
    assert theirs.test_compatibility("a", Schema(text(record("x", "y")), "AVRO"))
    assert not theirs.test_compatibility("a", Schema(text(broken), "AVRO"))


def test_their_client_can_do_all_that_it_knows(theirs: SchemaRegistryClient) -> None:
    schema = Schema(text(record("x")), "AVRO")
    for subject in ("a/b ä", "c"):
        assert theirs.register_schema(subject, schema) == 1
        found = theirs.lookup_schema(subject, schema)
        assert (found.subject, found.version, found.schema_id) == (subject, 1, 1)
        assert theirs.get_latest_version(subject).schema.schema_str == schema.schema_str
        assert theirs.get_versions(subject) == [1]
        assert theirs.get_version(subject, 1).schema_id == 1
    assert theirs.get_schema(1).schema_str == schema.schema_str
    assert theirs.get_subjects() == ["a/b ä", "c"]
    assert theirs.set_compatibility("c", "FULL") == {"compatibility": "FULL"}
    assert theirs.get_compatibility("c") == "FULL"
    assert theirs.get_compatibility() == "BACKWARD"
    assert theirs.delete_version("c", 1) == 1
    assert theirs.delete_subject("a/b ä") == [1]
    assert theirs.delete_subject("a/b ä", permanent=True) == [1]
    assert quote("a/b ä", safe="") not in theirs.get_subjects()
