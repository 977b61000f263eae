"""Events that the specifications of operators work on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import vagus as vg

if TYPE_CHECKING:
    from collections.abc import Sequence

MIDNIGHT = datetime(2024, 1, 1, tzinfo=UTC)


class Reading(vg.Event):
    """What a sensor measured, `at` some time."""

    sensor: str
    celsius: float | None
    at: datetime = MIDNIGHT


class Sensor(vg.Event):
    sensor: str
    room: str


def at(minutes: float) -> datetime:
    """A time so many minutes after midnight."""
    return MIDNIGHT + timedelta(minutes=minutes)


def reading(sensor: str, celsius: float | None, minutes: float = 0) -> Reading:
    return Reading(sensor=sensor, celsius=celsius, at=at(minutes))


def topic(app: vg.App, name: str = "reading", **options: Any) -> vg.Stream:
    return app.topic(name, Reading, key="sensor", time="at", **options)


def rows(harness: vg.testing.Harness, name: str, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of what is in a topic; of a single one, its values in tuples of one."""
    return harness.read(name).select(columns).rows()


def column(harness: vg.testing.Harness, name: str, of: str) -> Sequence[Any]:
    return harness.read(name)[of].to_list()
