"""The source: sends the data to a hub, at full speed or in step with an accelerated clock."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.demo.flights import data
from vagus.demo.flights.app import airlines, departures, planes, weather

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from vagus.streams import Client

_CHUNK = 8_192  # departures sent at once at full speed
_TICK_S = 0.1  # how often the departures that are due are sent in a replay


@dataclass(frozen=True)
class Pace:
    """How fast and how far.

    `speed` is how many seconds of 2013 pass in a second (None: as fast as it goes); `days` how
    many days of the year are sent (None: all).
    """

    speed: float | None = None
    days: int | None = None


class Source:
    """Sends departures in the order in which they were told.

    A hub that was kept already has the first of them: it goes on from there.
    """

    def __init__(self, client: Client, pace: Pace) -> None:
        self._client, self._speed = client, pace.speed
        self._frame = data.departures(pace.days)
        self.total = self._frame.height
        self.sent = min(self._count("departure"), self.total)

    def load_tables(self) -> None:
        """Send what is known beforehand, unless the hub has it."""
        for table, rows in (
            (airlines, data.airlines()),
            (planes, data.planes()),
            (weather, data.weather()),
        ):
            if not self._count(table.base):
                self._client.send(table, rows)

    def run(self, stop: threading.Event) -> None:
        """Send all departures, or until told to stop."""
        told_us = self._frame[data.TOLD_AT].to_physical().to_numpy()
        start_us, began_s = told_us[self.sent] if self.sent < self.total else 0, time.monotonic()
        while self.sent < self.total and not stop.is_set():
            if self._speed is None:
                due = self.sent + _CHUNK
            else:
                stop.wait(_TICK_S)
                passed_s = (time.monotonic() - began_s) * self._speed
                due = int(told_us.searchsorted(start_us + passed_s * 1e6, side="right"))
            if due > self.sent:
                rows = self._frame.slice(self.sent, due - self.sent)
                self._client.send(departures, rows.drop(data.TOLD_AT))
                self.sent = min(due, self.total)

    def moment(self, count: int) -> datetime:
        """The moment of 2013 at which `count` departures had been told."""
        told: datetime = self._frame[data.TOLD_AT][max(0, min(count, self.total) - 1)]
        return told

    def _count(self, topic: str) -> int:
        """How many events were ever sent to a topic."""
        hub = self._client.hub
        if topic not in hub.topics():
            return 0
        return sum(part.end_offset for part in hub.describe_topic(topic).partitions)
