"""A Java program with Apache Avro: it reads what we write, and we read what it writes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field

import vagus as vg
from vagus.events import RecordSchema
from vagus.hub import Hub, Records, TopicPartition
from vagus.hub.schemas import HubRegistry

if TYPE_CHECKING:
    from tests.registry.java.program import Java
    from vagus.serve.registry import RegistryServer


class Kind(Enum):
    CITY = "CITY"
    COACH = "COACH"


class Place(BaseModel):
    latitude: float
    longitude: float


class Position(vg.Event):
    bus: str
    line: int
    kmh: float
    full: bool
    at: datetime
    day: date
    fare: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
    trip: UUID
    kind: Kind
    place: Place
    stops: list[str]
    counts: dict[str, int]
    note: str | None
    raw: bytes


def position(bus: str, note: str | None) -> Position:
    return Position(
        bus=bus,
        line=-42,
        kmh=51.25,
        full=True,
        at=datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC),
        day=date(2026, 5, 1),
        fare=Decimal("2.80"),
        trip=UUID("12345678-1234-5678-1234-567812345678"),
        kind=Kind.COACH,
        place=Place(latitude=52.5, longitude=13.25),
        stops=["Zoo", "Straße"],
        counts={"in": 3},
        note=note,
        raw=b"\x00\xff",
    )


EVENTS = [position("42", "ä"), position("7", None)]

app = vg.App("fleet")
positions = app.topic("position", Position, key="bus", time="at")


def _values(hub: Hub, topic: str) -> list[bytes]:
    with hub.reader({TopicPartition(topic, 0): 0}) as reader:
        return [
            value or b"" for batch in reader.read(wait_s=1.0) for value in batch.values.to_list()
        ]


AVRO_JSON = {
    "bus": "42",
    "line": -42,
    "kmh": 51.25,
    "full": True,
    "day": 20574,
    "fare": "\u0000\u0000\u0001\u0018",
    "trip": "12345678-1234-5678-1234-567812345678",
    "kind": "COACH",
    "place": {"latitude": 52.5, "longitude": 13.25},
    "stops": ["Zoo", "Straße"],
    "counts": {"in": 3},
    "note": {"string": "ä"},
    "raw": "\u0000\u00ff",
}


def test_java_reads_what_we_write_and_writes_the_same(
    hub: Hub, server: RegistryServer, java: Java
) -> None:
    with vg.Client(app, hub) as client:
        client.send(positions, EVENTS)
    values = _values(hub, "position")
    told = java("decode", server.url, lines=[value.hex() for value in values])
    first: dict[str, Any] = json.loads(told[0])
    assert {name: first[name] for name in AVRO_JSON} == AVRO_JSON
    assert json.loads(told[1])["note"] is None
    # Java spells the schema in its own way, and gets the id that it has.
    schema = RecordSchema.of(Position).json
    written = java("encode", server.url, "position-value", schema, lines=told)
    assert [bytes.fromhex(each) for each in written] == values
    assert HubRegistry(hub).versions("position-value") == [(1, 1)]


def test_we_read_what_java_writes_with_a_schema_of_its_own(
    hub: Hub, server: RegistryServer, java: Java
) -> None:
    schema = json.loads(RecordSchema.of(Position).json)
    schema["fields"].append({"name": "driver", "type": ["null", "string"], "default": None})
    line = {**AVRO_JSON, "at": 1_777_636_800_123_456, "driver": {"string": "Ada"}}
    text = json.dumps(schema)
    (written,) = java("encode", server.url, "position-value", text, lines=[json.dumps(line)])
    with vg.Client(app, hub) as client:
        hub.create_topic("position", client.topic(positions).config)
        records = Records.of([b"42"], [bytes.fromhex(written)], [0])
        hub.append([(TopicPartition("position", 0), records)])
        (row,) = client.read(positions).select(*Position.model_fields).to_dicts()
    assert row == {**EVENTS[0].model_dump(mode="python"), "kind": "COACH"} | {
        "place": {"latitude": 52.5, "longitude": 13.25},
        "counts": row["counts"],
        "trip": row["trip"],
    }
