"""The runner: the workers of an application, in the foreground, until a signal ends them.

All that happens, in workers and by signals, reaches the main thread as one queue of notes.
"""

from __future__ import annotations

import logging
import queue
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from vagus.errors import HubError, UnknownGroup, VagusError
from vagus.hub import open_registry
from vagus.runtime.metrics import Metrics
from vagus.runtime.signals import heard
from vagus.runtime.station import (
    Counted,
    Ended,
    Failed,
    Interrupted,
    Logged,
    Note,
    ProcessStation,
    Ready,
    Replaced,
    Restoring,
    Runnable,
    Station,
    ThreadStation,
)

if TYPE_CHECKING:
    from vagus.hub import Hub

__all__ = ["Runnable", "Runner"]

log = logging.getLogger("vagus")

_TICK_S = 0.5


class Runner:
    """Runs `workers` workers of an application on a hub.

    They are threads, or with `load` processes: each calls `load`, which must be importable (a
    function of a module, or a `functools.partial` of one), and opens the hub itself. `registry` is
    where schemas are, if not in the hub. `watch` is called twice a second, on the thread that runs.
    """

    def __init__(
        self,
        app: Runnable,
        hub: Hub,
        *,
        workers: int = 1,
        load: Callable[[], Runnable] | None = None,
        watch: Callable[[Runner], None] = lambda runner: None,
        registry: str | None = None,
    ) -> None:
        if workers < 1:
            raise VagusError(f"expected at least one worker, got {workers}")
        if load is not None and hub.url == ":memory:":
            raise HubError(
                "expected a hub in a file, got one in memory",
                hint="worker processes share a file; use threads",
            )
        self.app, self.hub = app, hub
        self._registry = open_registry(registry, hub)
        self._registry_url = registry
        self.metrics = Metrics() if load is None else _Gathered()
        self.restoring: dict[tuple[int, str], tuple[int, int]] = {}
        self._watch = watch
        self._notes: queue.SimpleQueue[tuple[int, Note] | signal.Signals | None] = (
            queue.SimpleQueue()
        )
        # A service that only keeps views has nothing for workers, and runs until it is stopped.
        self._idle = not app.topology.sources() and bool(getattr(app, "declared_views", None))
        numbers = range(1, 1 if self._idle else workers + 1)
        self._stations = [self._station(number, load) for number in numbers]
        self._open = {station.number for station in self._stations}
        self._ready: set[int] = set()
        self._stopping = False
        self._failure: Failed | None = None

    def _station(self, number: int, load: Callable[[], Runnable] | None) -> Station:
        def tell(note: Note) -> None:
            self._notes.put((number, note))

        if load is None:
            return ThreadStation(number, self.app, self.hub, self._registry, self.metrics, tell)
        return ProcessStation(number, load, self.hub.url, self._registry_url, tell)

    def run(self) -> int:
        """Work until told to stop; the exit code.

        SIGINT and SIGTERM have the workers finish their commit and leave the group: 0. A second
        one ends worker processes at once, and gives 128 and its number: threads may then still be
        at work, and the caller is to end the process. Raises what made a worker fail.
        """
        looked_s = 0.0
        with heard(self._notes.put):
            try:
                for station in self._stations:
                    station.start()
                while self._open or (self._idle and not self._stopping):
                    try:
                        note = self._notes.get(timeout=_TICK_S)
                    except queue.Empty:
                        pass
                    else:
                        if isinstance(note, signal.Signals) and self._stopping:
                            return 128 + note
                        self._hear(note)
                    if time.monotonic() - looked_s >= _TICK_S:
                        looked_s = time.monotonic()
                        self._watch(self)
            finally:
                for station in self._stations:
                    if station.number in self._open:
                        station.kill()
        if self._failure is not None:
            raise self._failure.error
        return 0

    def stop(self) -> None:
        """Finish as a signal does. May be called by any thread, and by a signal's handler."""
        self._notes.put(None)

    def ready(self) -> bool:
        """Whether every worker has its partitions and their state."""
        return len(self._ready) == len(self._stations) and not self._stopping

    def lag(self) -> int:
        """How many events wait to be read, over all topics."""
        try:
            return sum(self.hub.describe_group(self.app.name).lag.values())
        except UnknownGroup:
            return 0

    def _hear(self, note: tuple[int, Note] | signal.Signals | None) -> None:
        if not isinstance(note, tuple):
            if note is not None:
                log.info("%s: finishing the commit; a second one stops at once", note.name)
            self._stop_all()
            return
        number, what = note
        if isinstance(what, Ready):
            self._ready.add(number)
        elif isinstance(what, Restoring):
            self._restoring(number, what)
        elif isinstance(what, Replaced):
            self._ready.discard(number)
            log.warning("worker %d was replaced and joins again: %s", number, what.reason)
        elif isinstance(what, Interrupted):
            self._ready.discard(number)
            log.warning("worker %d tries again in %.1f s: %s", number, what.pause_s, what.reason)
        elif isinstance(what, Counted):
            assert isinstance(self.metrics, _Gathered)
            self.metrics.put(number, what.counts)
        elif isinstance(what, Logged):
            log.log(what.level, "%s", what.text)
        elif isinstance(what, Failed):
            if what.trace:
                what.error.add_note(f"in worker {number}:\n{what.trace}")
            self._failure = self._failure or what
        elif isinstance(what, Ended):
            self._open.discard(number)
            self._ready.discard(number)
            if not self._stopping and self._failure is None:
                log.warning("worker %d was stopped: stopping the others", number)
            self._stop_all()

    def _restoring(self, number: int, what: Restoring) -> None:
        self._ready.discard(number)
        self.restoring[number, what.what] = (what.done, what.total)
        if what.done >= what.total:
            del self.restoring[number, what.what]
            log.info("worker %d: restored %s (%d offsets)", number, what.what, what.total)
        self._watch(self)

    def _stop_all(self) -> None:
        if not self._stopping:
            self._stopping = True
            for station in self._stations:
                station.stop()


class _Gathered(Metrics):
    """The counts of several processes, each as it last told them."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: dict[int, dict[tuple[str, str], int]] = {}

    def put(self, number: int, counts: dict[tuple[str, str], int]) -> None:
        """What a worker has counted so far."""
        with self._lock:
            self._parts[number] = counts

    def snapshot(self) -> dict[tuple[str, str], int]:
        total: Counter[tuple[str, str]] = Counter()
        with self._lock:
            for counts in (self._counts, *self._parts.values()):
                total.update(counts)
        return dict(total)
