"""The hub's registry on a real Kafka cluster, and real clients of both."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import DeserializingConsumer, SerializingProducer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import StringDeserializer, StringSerializer

import vagus as vg
from tests.kafka.fixtures import skip_unless_required
from tests.registry.conftest import record, text
from vagus.events import RecordSchema
from vagus.hub import Hub, TopicPartition, connect
from vagus.hub.schemas import HubRegistry
from vagus.serve.registry import RegistryServer

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster
    from tests.registry.java.program import Java


class Reading(vg.Event):
    sensor: str
    celsius: float
    note: str | None


EVENTS = [Reading(sensor="roof", celsius=21.5, note="ä"), Reading(sensor="x", celsius=1, note=None)]
ROWS = [event.model_dump() for event in EVENTS]


@pytest.fixture
def cluster(kafka: Cluster) -> Iterator[Hub]:
    """A hub on Kafka without schemas."""
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        if "_schemas" in hub.topics():
            hub.delete_topic("_schemas")
        yield hub


@pytest.fixture
def served(cluster: Hub) -> Iterator[RegistryServer]:
    with RegistryServer(cluster, port=0) as server:
        yield server


@pytest.fixture
def app() -> vg.App:
    """An application whose one topic nobody has used before."""
    made = vg.App("weather")
    made.topic(f"reading-{uuid.uuid4().hex[:8]}", Reading, key="sensor")
    return made


def _topic(app: vg.App) -> str:
    (name,) = app.topics
    return name


def _register_in_process(url: str, names: list[str]) -> dict[str, int]:
    with connect(url) as hub:
        registry = HubRegistry(hub)
        return {
            name: registry.register(f"{name}-value", text({**record("x"), "name": name}))
            for name in names
        }


def test_processes_that_register_at_once_agree(kafka: Cluster, cluster: Hub) -> None:
    names = [f"R{number}" for number in range(6)]
    work = [(cluster.url, names), (cluster.url, names[::-1]), (cluster.url, names)]
    with get_context("spawn").Pool(len(work)) as pool:
        found = pool.starmap(_register_in_process, work)
    assert found[1:] == found[:-1]
    assert sorted(found[0].values()) == list(range(1, 7))
    assert [HubRegistry(cluster).versions(f"{name}-value") for name in names] == [
        [(1, found[0][name])] for name in names
    ]


def test_confluents_clients_read_and_write_a_topic_as_we_do(
    kafka: Cluster, cluster: Hub, served: RegistryServer, app: vg.App
) -> None:
    topic = _topic(app)
    with (
        vg.Client(app, cluster) as client,
        SchemaRegistryClient({"url": served.url}) as schemas,
    ):
        client.send(topic, EVENTS)
        producer = SerializingProducer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "key.serializer": StringSerializer(),
                "value.serializer": AvroSerializer(schemas, RecordSchema.of(Reading).json),
            }
        )
        for row in ROWS:
            producer.produce(topic, key=row["sensor"], value=row)
        assert producer.flush(30) == 0
        producer.close()
        consumer = DeserializingConsumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": f"of-{topic}",
                "auto.offset.reset": "earliest",
                "key.deserializer": StringDeserializer(),
                "value.deserializer": AvroDeserializer(schemas),
            }
        )
        consumer.subscribe([topic])
        found: list[tuple[str, object]] = []
        while len(found) < 4:
            message = consumer.poll(1.0)
            if message is not None:
                assert message.error() is None, message.error()
                found.append((message.key(), message.value()))
        consumer.close()
        assert found == [(row["sensor"], row) for row in ROWS] * 2
        assert client.read(topic).select(*ROWS[0]).to_dicts() == ROWS * 2
    assert HubRegistry(cluster).versions(f"{topic}-value") == [(1, 1)]


def test_java_reads_and_writes_a_topic_as_we_do(
    kafka: Cluster, cluster: Hub, served: RegistryServer, app: vg.App, java: Java
) -> None:
    topic = _topic(app)
    with vg.Client(app, cluster) as client:
        client.send(topic, EVENTS)
        told = java("consume", served.url, kafka.bootstrap, topic, "2")
        shown = [json.loads(line) for line in told]
        assert [each["key"] for each in shown] == ["roof", "x"]
        assert shown[0]["value"] == {"sensor": "roof", "celsius": 21.5, "note": {"string": "ä"}}
        lines = [json.dumps(each["value"]) for each in shown]
        schema = RecordSchema.of(Reading).json
        java("produce", served.url, kafka.bootstrap, topic, schema, "sensor", lines=lines)
        read = client.read(topic)
    assert read.select(*ROWS[0]).to_dicts() == ROWS * 2
    assert read["_key"].to_list() == ["roof", "x"] * 2


@pytest.fixture(scope="module")
def kcat() -> str:
    found = shutil.which("kcat")
    if found is None:
        skip_unless_required("these tests need kcat: apt-get install kcat")
    assert found is not None
    return found


def test_kcat_reads_and_writes_our_bytes(
    kafka: Cluster, cluster: Hub, app: vg.App, kcat: str, tmp_path: Path
) -> None:
    topic = _topic(app)
    with vg.Client(app, cluster) as client:
        client.send(topic, EVENTS)
        place = ["-b", kafka.bootstrap, "-t", topic]
        shown = subprocess.run(
            [kcat, *place, "-C", "-e", "-q", "-f", "%k %S %s\n"], capture_output=True, check=True
        ).stdout
        values = _values(cluster, topic)
        expected = [
            f"{row['sensor']} {len(value)} ".encode() + value + b"\n"
            for row, value in zip(ROWS, values, strict=True)
        ]
        assert shown == b"".join(expected)
        for number, (row, value) in enumerate(zip(ROWS, values, strict=True)):
            path = tmp_path / str(number)
            path.write_bytes(value)
            subprocess.run([kcat, *place, "-P", "-k", str(row["sensor"]), str(path)], check=True)
        assert client.read(topic).select(*ROWS[0]).to_dicts() == ROWS * 2


def test_kcat_reads_and_writes_json_of_ours(kafka: Cluster, cluster: Hub, kcat: str) -> None:
    app = vg.App("weather")
    topic = f"json-{uuid.uuid4().hex[:8]}"
    app.topic(topic, Reading, key="sensor", form="json")
    with vg.Client(app, cluster) as client:
        client.send(topic, EVENTS)
        place = ["-b", kafka.bootstrap, "-t", topic]
        shown = subprocess.run(
            [kcat, *place, "-C", "-e", "-q"], capture_output=True, text=True, check=True
        ).stdout
        assert [json.loads(line) for line in shown.splitlines()] == ROWS
        lines = "".join(f"{row['sensor']}\t{json.dumps(row)}\n" for row in ROWS)
        subprocess.run([kcat, *place, "-P", "-K", "\t"], input=lines, text=True, check=True)
        read = client.read(topic)
    assert read.select(*ROWS[0]).to_dicts() == ROWS * 2
    assert read["_key"].to_list() == ["roof", "x"] * 2


def _values(hub: Hub, topic: str) -> list[bytes]:
    place = TopicPartition(topic, 0)
    end, found = hub.offsets([place], "latest")[place], []
    with hub.reader({place: 0}) as reader:
        while reader.positions()[place] < end:
            for batch in reader.read(wait_s=1.0):
                found += [value or b"" for value in batch.values.to_list()]
    return found
