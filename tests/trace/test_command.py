"""`vagus trace` prints a trace as a tree, or as JSON."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import vagus as vg
from tests.cli.conftest import Vagus, folder, vagus
from vagus.hub import connect
from vagus.hub.records import Records, TopicPartition

__all__ = ["folder", "vagus"]

NOON_MS = round(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() * 1000)


class Step(vg.Event):
    name: str


def _send(metadata: vg.Metadata, topic: str, name: str, *, after: timedelta) -> None:
    app = vg.App("steps")
    steps = app.topic(topic, Step)
    with vg.Client(app, "vagus.db", clock=lambda: NOON_MS / 1000 + after.total_seconds()) as client:
        client.send(steps, Step(name=name), metadata=metadata)


def test_a_tree_shows_type_place_and_delay(vagus: Vagus) -> None:
    first = vg.Metadata.new()
    second = first.caused()
    _send(first, "asked", "a", after=timedelta())
    _send(second, "done", "b", after=timedelta(milliseconds=12))
    _send(second.caused(), "told", "c", after=timedelta(seconds=1))
    _send(first.caused(), "done", "d", after=timedelta(seconds=90))

    assert vagus("trace", str(first.event_id)).out.splitlines() == [
        "Step  asked/0/0  2026-05-01T12:00:00.000Z",
        "├─ Step  done/0/0  +12ms",
        "│  └─ Step  told/0/0  +988ms",
        "└─ Step  done/0/1  +1m30s",
    ]


def test_json_lists_the_events_in_the_order_of_the_tree(vagus: Vagus) -> None:
    first = vg.Metadata.new()
    _send(first, "asked", "a", after=timedelta())
    _send(first.caused(), "done", "b", after=timedelta(milliseconds=12))

    said = vagus("trace", "done/0/0", "--json").json

    assert said["correlation_id"] == first.event_id
    assert [(one["depth"], one["topic"], one["delay_ms"]) for one in said["events"]] == [
        (0, "asked", None),
        (1, "done", 12),
    ]
    assert said["events"][1]["causation_id"] == first.event_id


def test_an_unknown_event_is_an_error(vagus: Vagus) -> None:
    _send(vg.Metadata.new(), "asked", "a", after=timedelta())
    assert "no event has the id 'x'" in vagus("trace", "x", code=1).err


def test_what_others_wrote_is_shown_without_a_type(vagus: Vagus) -> None:
    first = vg.Metadata.new()
    _send(first, "asked", "a", after=timedelta())
    with connect("vagus.db") as hub:
        records = Records.of([b"k"], [b"\xff?"], [NOON_MS], [first.caused().to_headers()])
        hub.append([(TopicPartition("asked", 0), records)])

    assert "└─ event  asked/0/1  +0ms" in vagus("trace", str(first.event_id)).out
