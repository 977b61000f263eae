"""Where a worker works: a thread of this process, or a process of its own.

Either way the worker tells what happens to it in notes, and is asked to stop through its station.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Protocol

from vagus.errors import Fenced, HubUnavailable, VagusError
from vagus.hub import connect, open_registry
from vagus.hub.garbage import keep_what_is_loaded
from vagus.runtime.metrics import Metrics
from vagus.runtime.signals import STOP_SIGNALS
from vagus.runtime.worker import CommitPoint, Policy, Seams, Worker

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.topology import Topology

log = logging.getLogger("vagus")


_PAUSE_S = 0.5  # before a worker that was replaced joins again
_PAUSE_MAX_S = 10.0  # before one whose hub goes on failing tries again
_COUNT_EVERY_S = 1.0


class Runnable(Protocol):
    """What a worker needs of an application."""

    name: str
    policy: Policy

    @property
    def topology(self) -> Topology:
        """What is to be done."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has its partitions, and their state is restored."""


@dataclass(frozen=True, slots=True)
class Restoring:
    """State is being restored: `done` of `total` offsets."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """The worker lost its place in the group and joins it anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The hub let the worker down; it tries again, from the last commit."""

    reason: str
    pause_s: float


@dataclass(frozen=True, slots=True)
class Counted:
    """All that the worker has counted so far."""

    counts: dict[tuple[str, str], int]


@dataclass(frozen=True, slots=True)
class Logged:
    """A line of the worker's log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker can't go on. `trace` is the traceback, where the error isn't of this process."""

    error: BaseException
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker is gone. The last note of each."""


Note = Ready | Restoring | Replaced | Interrupted | Counted | Logged | Failed | Ended


class Station(Protocol):
    """A worker's place."""

    number: int

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """Finish the turn at hand, leave the group, end."""

    def kill(self) -> None:
        """End at once, if that can be done."""


class _Stopping(BaseException):
    """Leaves a restore that nobody waits for any more."""


class _Stop:
    """Asks a worker to stop, whichever it is now. Safe to use from several threads."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._worker: Worker | None = None

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def ask(self) -> None:
        with self._lock:
            self._asked.set()
            if self._worker is not None:
                self._worker.stop()

    def attach(self, worker: Worker) -> None:
        with self._lock:
            self._worker = worker
            if self.asked:
                worker.stop()

    def wait(self, timeout_s: float) -> None:
        self._asked.wait(timeout_s)


def _work(
    app: Runnable,
    hub: Hub,
    registry: Registry,
    metrics: Metrics,
    stop: _Stop,
    tell: Callable[[Note], None],
) -> None:
    """Run workers one after another until asked to stop.

    One that is fenced has a successor. So has one that the hub let down, if it had been at work:
    clusters mend themselves. Before that, what is wrong is more likely a mistake, and is raised.
    """
    ready = False
    worked = False
    pause_s = _PAUSE_S

    def progress(what: str, done: int, total: int) -> None:
        nonlocal ready
        if stop.asked:
            raise _Stopping
        ready = False
        tell(Restoring(what, done, total))

    def at(point: CommitPoint) -> None:
        nonlocal ready, worked, pause_s
        if not ready:
            ready = worked = True
            tell(Ready())
        if point == "committed":
            pause_s = _PAUSE_S

    while not stop.asked:
        try:
            worker = Worker(
                app.name,
                app.topology,
                hub,
                registry,
                policy=app.policy,
                metrics=metrics,
                seams=Seams(progress=progress, at=at),
            )
            stop.attach(worker)
            worker.run()
        except _Stopping:
            return
        except Fenced as error:
            ready = False
            tell(Replaced(str(error)))
            stop.wait(_PAUSE_S)
        except HubUnavailable as error:
            if not worked:
                raise
            ready = False
            tell(Interrupted(str(error), pause_s))
            stop.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)


class ThreadStation:
    """A worker in a thread of this process."""

    def __init__(
        self,
        number: int,
        app: Runnable,
        hub: Hub,
        registry: Registry,
        metrics: Metrics,
        tell: Callable[[Note], None],
    ) -> None:
        self.number = number
        self._app, self._hub, self._registry = app, hub, registry
        self._metrics, self._tell = metrics, tell
        self._stop = _Stop()
        self._thread = threading.Thread(
            target=self._run, name=f"vagus-worker-{number}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.ask()

    def kill(self) -> None:
        """A thread can't be ended from outside: it ends with its process."""

    def _run(self) -> None:
        try:
            _work(self._app, self._hub, self._registry, self._metrics, self._stop, self._tell)
        except BaseException as error:  # noqa: BLE001 - the runner raises it
            self._tell(Failed(error))
        finally:
            self._tell(Ended())


class ProcessStation:
    """A worker in a process of its own, which makes the application with `load`.

    It opens the hub at `url`, and the registry at `registry`, or with None the hub's own.
    """

    def __init__(
        self,
        number: int,
        load: Callable[[], Runnable],
        url: str,
        registry: str | None,
        tell: Callable[[Note], None],
    ) -> None:
        self.number = number
        self._tell = tell
        spawn = multiprocessing.get_context("spawn")
        self._channel, theirs = spawn.Pipe()
        self._theirs = theirs
        self._process = spawn.Process(
            target=_in_process, args=(load, url, registry, theirs), name=f"vagus-worker-{number}"
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)

    @property
    def pid(self) -> int | None:
        """The process, once it is started."""
        return self._process.pid

    def start(self) -> None:
        # A new process inherits what is blocked: so no signal can hit it before it is prepared.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._theirs.close()
        self._listener.start()

    def stop(self) -> None:
        with suppress(OSError):  # it has ended by itself
            self._channel.send("stop")

    def kill(self) -> None:
        self._process.kill()

    def _listen(self) -> None:
        failed = False
        while True:
            try:
                note: Note = self._channel.recv()
            except (EOFError, OSError):
                break
            failed = failed or isinstance(note, Failed)
            self._tell(note)
        self._process.join()
        code = self._process.exitcode or 0
        if code and not failed:
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self._tell(Failed(VagusError(f"worker {self.number} died ({how})")))
        self._tell(Ended())


def _in_process(
    load: Callable[[], Runnable], url: str, registry: str | None, channel: Connection
) -> None:
    """What a worker's process does."""
    stop, metrics, lock = _Stop(), Metrics(), threading.Lock()
    wake, poke = os.pipe()

    def tell(note: Note) -> None:
        with lock, suppress(OSError):  # the runner is gone: then we are about to stop
            channel.send(note)

    # Ctrl-C in a terminal reaches every process; the runner says what it is to mean.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.write(poke, b"."))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
    _log_to(tell)

    def control() -> None:
        counts: dict[tuple[str, str], int] = {}
        while not stop.asked:
            for ready in wait([channel, wake], _COUNT_EVERY_S):
                if ready is channel:
                    with suppress(EOFError, OSError):  # the runner is gone
                        channel.recv()
                stop.ask()
            if (now := metrics.snapshot()) != counts:
                counts = now
                tell(Counted(now))

    threading.Thread(target=control, daemon=True).start()
    try:
        app = load()
        keep_what_is_loaded()
        with connect(url) as hub:
            _work(app, hub, open_registry(registry, hub), metrics, stop, tell)
    except BaseException as error:  # noqa: BLE001 - the runner raises it
        tell(_failure(error))
    tell(Counted(metrics.snapshot()))


def _failure(error: BaseException) -> Failed:
    """A failure that can be told to another process."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, VagusError):  # not itself: its class may take other arguments
        return Failed(VagusError(error.message, where=error.where, hint=error.hint), trace)
    return Failed(VagusError(f"{type(error).__name__}: {error}"), trace)


class _Notes(logging.Handler):
    """A log that ends in notes."""

    def __init__(self, tell: Callable[[Note], None]) -> None:
        super().__init__()
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(Logged(record.levelno, record.getMessage()))


def _log_to(tell: Callable[[Note], None]) -> None:
    log.handlers = [_Notes(tell)]
    log.setLevel(logging.INFO)
    log.propagate = False
