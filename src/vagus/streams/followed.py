"""A table of an application, kept up to date wherever it is asked.

It is a replica of a table's topic. It holds committed rows only, of all partitions, in whatever
process asks; it is up to date to within the time that events take to arrive.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from vagus.errors import OffsetOutOfRange, TopicExists, UnknownTopic, VagusError
from vagus.runtime.metrics import Metrics
from vagus.runtime.replica import Progress, Replica, no_progress

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic

__all__ = ["Followed", "ViewNotReady"]

log = logging.getLogger("vagus")

_FETCH_RECORDS = 8_192  # questions wait while rows are taken in: a few milliseconds at most
_WAIT_S = 30.0
_LOOK_AGAIN_S = 0.1  # for a topic that is gone
_TRY_AGAIN_S = 1.0  # after an error


class ViewNotReady(VagusError):
    """The view is still being restored, or its hub can't be read just now."""


class Followed:
    """The rows of one table, which a thread keeps up to date. Holds nothing before `open`."""

    def __init__(
        self, topic: Topic, hub: Hub, registry: Registry, *, progress: Progress = no_progress
    ) -> None:
        self.name = topic.name
        self.topic = topic
        self._hub, self._registry, self._progress = hub, registry, progress
        self._metrics = Metrics()
        self._replica: Replica | None = None
        self._known = False  # whether the topic was there once
        self._lock = threading.Lock()  # held while rows are taken in, or looked at
        self._thread: threading.Thread | None = None
        self._opened = threading.Condition()
        self._error: Exception | None = None
        self._closed = threading.Event()
        retention_s = topic.config.retention_s
        self._retention_ms = None if retention_s is None else int(retention_s * 1000)

    @property
    def ready(self) -> bool:
        """Whether the view is restored and keeps up."""
        return self._replica is not None and self._error is None

    @property
    def error(self) -> Exception | None:
        """What keeps the view from keeping up, if anything does."""
        return self._error

    @property
    def unreadable(self) -> int:
        """How many records of the topic could not be read, and are left out."""
        return self._metrics.count("table_records_unreadable")

    def open(self) -> None:
        """Restore the view, if it isn't yet. A topic that nobody has written to yet is created."""
        with self._opened:
            if not self._known and self.name not in self._hub.topics():
                with suppress(TopicExists):  # somebody else was faster
                    self._hub.create_topic(self.name, self.topic.config)
            self._known = True
            if self._replica is None:
                self._replica = self._restored()
                self._opened.notify_all()

    def refresh(self, *, wait_s: float = 0.0) -> bool:
        """Take in what is new, waiting up to `wait_s` for it; whether there was anything.

        For one thread at a time.
        """
        replica = self._replica
        if replica is None:
            raise self._not_ready()
        changes = replica.fetch(wait_s=wait_s, max_records=_FETCH_RECORDS)
        if changes:
            with self._lock:
                for rows in changes:
                    replica.store.load(rows)
        return bool(changes)

    def follow(self) -> None:
        """Open the view and keep it up to date, in a thread of its own, until `close`."""
        if self._thread is None:
            name = f"vagus-view-{self.name}"
            self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
            self._thread.start()

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until the view is restored. Raises what keeps it from that, or ViewNotReady."""
        with self._opened:
            self._opened.wait_for(
                lambda: self._replica is not None or self._error is not None, timeout_s
            )
        if self._error is not None:
            raise self._error
        if self._replica is None:
            raise self._not_ready()

    def close(self) -> None:
        """Stop reading. What was read can still be asked for."""
        self._closed.set()
        if self._replica is not None:
            self._replica.wakeup()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._replica is not None:
            self._replica.close()

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self.open()
                if self._closed.is_set():  # before there was anything to wake
                    return
                self._error = None
                self.refresh(wait_s=_WAIT_S)
            except _Closing:
                return
            except (OffsetOutOfRange, UnknownTopic):
                # The topic was emptied, deleted or made anew under us; so is the view.
                replica, self._replica = self._replica, None
                if replica is not None:
                    replica.close()
                self._closed.wait(_LOOK_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever it was
                if not self._closed.is_set():
                    self._failed(error)
                    self._closed.wait(_TRY_AGAIN_S)

    def _failed(self, error: Exception) -> None:
        if str(error) != str(self._error):
            known = isinstance(error, VagusError)
            log.warning("view %s: %s", self.name, error, exc_info=None if known else error)
        with self._opened:
            self._error = error
            self._opened.notify_all()

    def _restored(self) -> Replica:
        def told(what: str, done: int, total: int) -> None:
            if self._closed.is_set():
                raise _Closing
            self._progress(what, done, total)

        return Replica(
            self._hub,
            self.topic,
            self._registry,
            metrics=self._metrics,
            progress=told,
            retention_ms=self._retention_ms,
        )

    def _store(self) -> Store:
        if self._replica is None:
            raise self._not_ready()
        return self._replica.store

    def _not_ready(self) -> ViewNotReady:
        return ViewNotReady(
            f"view {self.name!r} is not restored yet",
            hint="ask again in a moment" if self._error is None else str(self._error),
        )


class _Closing(BaseException):
    """The view was closed while it was restored."""
