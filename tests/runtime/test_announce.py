"""What a worker makes known before the first event."""

from __future__ import annotations

import vagus as vg
from vagus.events import RecordSchema


class Ride(vg.Event):
    rider: str
    km: float


def test_the_types_of_new_topics_are_registered_at_start() -> None:
    app = vg.App("rides")
    app.topic("ride", Ride, key="rider").to("copy")
    with vg.testing.Harness(app) as h:
        h.run()
        [(_, schema_id)] = h.registry.versions("ride-value")
        assert h.registry.schema(schema_id) == RecordSchema.of(Ride).json


def test_a_topic_that_has_types_keeps_them() -> None:
    older = RecordSchema.parse(
        '{"type": "record", "name": "Ride", "fields": [{"name": "rider", "type": "string"},'
        ' {"name": "km", "type": "long"}]}'
    )
    app = vg.App("rides")
    app.topic("ride", Ride, key="rider").to("copy")
    with vg.testing.Harness(app) as h:
        h.registry.register("ride-value", older.json)
        h.run()
        assert len(h.registry.versions("ride-value")) == 1
