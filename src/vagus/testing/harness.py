"""The harness: the real runtime on a hub in memory, with a clock of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np

from vagus.errors import VagusError
from vagus.hub import connect
from vagus.hub.contract import Closing
from vagus.hub.schemas import HubRegistry
from vagus.runtime.deadletters import DeadLetter, dead_letters, replay
from vagus.runtime.metrics import Metrics
from vagus.runtime.worker import CommitPoint, Seams, Worker
from vagus.services.asking import Ask, Desk
from vagus.services.command import Command
from vagus.services.service import Service
from vagus.services.views import Queries, ViewDeclarations
from vagus.streams.client import Client
from vagus.streams.duration import Duration, duration_ms
from vagus.streams.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl
    from numpy.typing import NDArray

    from vagus.events import Event
    from vagus.hub import TopicPartition
    from vagus.services.outcome import Outcome
    from vagus.streams.app import App
    from vagus.streams.flow import Flow

_EPOCH_S = 1_700_000_000.0


class Crash(Exception):
    """Stands for the death of a worker's process."""


class Harness(Closing):
    """Runs an application in a test.

    `send` appends events and lets the application process them, `read` gives what is in a topic,
    `advance` moves the clock on. Records are taken in the order in which they were sent, over all
    topics, as Kafka Streams' test driver does. `crash_at` has the next turn die at a point of the
    commit cycle; a new worker then goes on from the last commit.

    >>> import vagus as vg
    >>> class Reading(vg.Event):
    ...     sensor: str
    ...     celsius: float
    >>> app = vg.App("weather")
    >>> readings = app.topic("reading", Reading, key="sensor")
    >>> _ = readings.group_by().agg(n=vg.count()).to_table("readings")
    >>> with vg.testing.Harness(app) as h:
    ...     h.send(readings, Reading(sensor="roof", celsius=21.5))
    ...     h.views["readings"].get("roof")
    {'sensor': 'roof', 'n': 1}
    """

    def __init__(self, app: App, *, start_s: float = _EPOCH_S) -> None:
        self.app = app
        self._now_s = start_s
        self.hub = connect(":memory:", clock=self._clock)
        self.registry = HubRegistry(self.hub)
        self.client = Client(app, self.hub, registry=self.registry, clock=self._clock)
        self.metrics = Metrics()
        self._arrivals: dict[TopicPartition, dict[int, int]] = {}
        self._sent = 0
        self._crashes: list[CommitPoint] = []
        self.slept_s: list[float] = []
        self._worker: Worker | None = None
        self._desk: Desk | None = None
        self._views = Views(app, self.hub, self.registry)
        app.show_views(self._views)
        self._queries: Queries | None = None
        if isinstance(app, ViewDeclarations):
            self._queries = Queries(
                app,
                self.hub,
                registry=self.registry,
                clock=self._clock,
                sleep=self.slept_s.append,
                rank=self._rank,
            )
            app.show_queries(self._queries)

    @overload
    def send(
        self, topic: Flow | str, events: Event | Iterable[Event] | pl.DataFrame, *, key: Any = None
    ) -> None: ...

    @overload
    def send(self, topic: Command, **options: Any) -> Outcome: ...

    def send(self, topic: Any, events: Any = None, *, key: Any = None, **options: Any) -> Any:
        """Append events and process them, and all that follows from them.

        Or send a service a command, with the options of `ServiceClient.send` that say how it is to
        be decided; gives the outcome. Raises CommandFailed if deciding failed.
        """
        if not isinstance(topic, Command):
            self.put(topic, events, key=key, **options)
            self.run()
            return None
        request = self.ask(topic, **options)
        self.run()
        return self.desk.outcome(request)

    def ask(self, command: Command, **options: Any) -> str:
        """Append a command only; after `run`, `desk.outcome` of what this gives is its outcome."""
        request, ends = self.desk.put(command, Ask(**options))
        self._arrived(ends)
        return request

    @property
    def desk(self) -> Desk:
        """Where commands are sent, and their outcomes are found. For applications with commands."""
        if self._desk is None:
            if not isinstance(self.app, Service):
                raise VagusError(
                    "expected a service, which takes commands, got an application that doesn't",
                    where=self.app.name,
                    hint="vg.Service(...), and service.aggregate(...)",
                )
            self._desk = Desk(self.app, self.hub, self.registry, self._clock)
        return self._desk

    def put(
        self, topic: Flow | str, events: Event | Iterable[Event] | pl.DataFrame, *, key: Any = None
    ) -> None:
        """Append events only; `run` processes all that was put, together."""
        self._arrived(self.client.send(topic, events, key=key))

    def delete(self, table: Flow | str, key: Any) -> None:
        """Append the deletion of a key and process it."""
        self._arrived(self.client.delete(table, key))
        self.run()

    def run(self) -> None:
        """Process until nothing is left to do."""
        # A service that only keeps views has nothing for a worker.
        while self.app.topology.sources() or not self._queries:
            try:
                if not self.worker.turn():
                    self.worker.commit()
                    break
            except Crash:
                self.restart()
        self._views.refresh()
        if self._queries is not None:
            self._queries.refresh()

    def advance(self, by: Duration) -> None:
        """Move the clock on and do what is due by then."""
        self._now_s += duration_ms(by) / 1000
        self.run()

    def crash_at(self, *points: CommitPoint) -> None:
        """Have the worker die at these points, one after another, when it comes to them.

        The points of a turn are "read", "processed", "written" and "committed".
        """
        self._crashes.extend(points)

    def restart(self) -> None:
        """Drop the worker as a crash would, with all that it has in memory."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def read(self, topic: Flow | str, *, offsets: bool = False) -> pl.DataFrame:
        """What is in a topic, as `Client.read` gives it."""
        return self.client.read(topic, offsets=offsets)

    @property
    def views(self) -> Views:
        """The application's tables, to query."""
        self._views.refresh()
        return self._views

    @property
    def queries(self) -> Queries:
        """The service's views of events, to query."""
        if self._queries is None:
            raise VagusError(
                "expected a service, which has views of events, got an application without any",
                where=self.app.name,
                hint="vg.Service(...), and service.view(...)",
            )
        return self._queries

    @property
    def dead_letters(self) -> list[DeadLetter]:
        """The events that could not be processed."""
        return list(dead_letters(self.hub, self.app.name))

    def replay(self, *letters: DeadLetter) -> None:
        """Send dead letters again, and process them."""
        replay(self.hub, self.app.name, list(letters))
        self.run()

    @property
    def worker(self) -> Worker:
        """The worker that is running now."""
        if self._worker is None:
            self._worker = Worker(
                self.app.name,
                self.app.topology,
                self.hub,
                self.registry,
                policy=self.app.policy,
                metrics=self.metrics,
                seams=Seams(
                    clock=self._clock,
                    sleep=self.slept_s.append,
                    rank=self._rank,
                    at=self._at,
                ),
            )
        return self._worker

    def close(self) -> None:
        """Let go of everything."""
        self.restart()
        self.app.show_views(None)
        self._views.close()
        if self._queries is not None:
            self._queries.close()
        self.hub.close()

    def _clock(self) -> float:
        return self._now_s

    def _at(self, point: CommitPoint) -> None:
        if self._crashes and self._crashes[0] == point:
            self._crashes.pop(0)
            raise Crash(point)

    def _arrived(self, ends: dict[TopicPartition, int]) -> None:
        for partition, end in ends.items():
            known = self._arrivals.setdefault(partition, {})
            known[end] = self._sent
        self._sent += 1

    def _rank(
        self, partition: TopicPartition, offsets: NDArray[np.int64], times: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The number of the `put` that brought each record."""
        known = self._arrivals.get(partition)
        if not known:
            return np.zeros(len(offsets), dtype=np.int64)
        ends = np.array(sorted(known), dtype=np.int64)
        numbers = np.array([known[end] for end in ends.tolist()] + [self._sent], dtype=np.int64)
        return numbers[np.searchsorted(ends, offsets, side="right")]
