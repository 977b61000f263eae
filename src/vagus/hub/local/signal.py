"""Waiting for somebody, in this process or in another one, to commit.

In one process a condition wakes the waiters. For the other processes one of the waiters sleeps on
SQLite's log file, and looks at its counter of changes, on behalf of all.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from vagus.hub.local.watch import LOOK_S, Watch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from vagus.hub.local.storage import Storage

# A commit becomes visible some time after the log is written (a sync lies between), which nobody
# tells of; and where something has just happened, more is likely to.
_LOOK_BUSY_S = 0.004
_BUSY_FOR_S = 0.1
_LOOK_AGAIN_S = 0.5  # for a commit that took longer than that


class Signal:
    """A counter of commits that can be waited for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self._polling = False
        self._storage: Storage | None = None
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._busy_until = 0.0
        self._watch: Watch | None = None

    def watch(self, storage: Storage) -> None:
        """Also wait for the commits of other processes."""
        self._storage = storage

    def token(self) -> int:
        """Take it before looking, give it to `wait` if there was nothing."""
        return self._count

    def notify(self) -> None:
        """There was a commit, or a waiter is to look for another reason."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()
            if self._polling and self._watch is not None:
                self._watch.wake()

    def wait(self, token: int, timeout_s: float, woken: Callable[[], bool]) -> None:
        """Until there was a commit since `token`, or `woken`, or the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            while self._count == token and not woken():
                now = time.monotonic()
                left = deadline - now
                if left <= 0:
                    return
                if self._storage is None or self._polling:
                    self._condition.wait(left)
                    continue
                self._polling = True
                try:
                    self._sleep(left, busy=now < self._busy_until)
                    if self._count == token and self._changed():
                        self._count += 1
                        self._condition.notify_all()
                finally:
                    self._polling = False
            # Somebody else has to poll now.
            if self._storage is not None:
                self._condition.notify_all()

    def _sleep(self, left_s: float, *, busy: bool) -> None:
        """Sleep on the log, without holding the condition."""
        assert self._storage is not None
        if self._watch is None:
            self._watch = Watch(self._storage.path + "-wal")
            return  # what was written before is not told of: look first
        watch = self._watch
        again_s = _LOOK_AGAIN_S if watch.tells else LOOK_S
        self._condition.release()
        try:
            pause_s = min(left_s, _LOOK_BUSY_S if busy else again_s)
            written = watch.sleep(pause_s, through_writes=busy)
        finally:
            self._condition.acquire()
        if written:
            self._busy_until = time.monotonic() + _BUSY_FOR_S

    def _changed(self) -> bool:
        assert self._storage is not None
        with self._storage.translated():
            if self._connection is None:
                self._connection = self._storage.borrow()
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        changed = version != self._version
        self._version = version
        if changed:
            self._busy_until = time.monotonic() + _BUSY_FOR_S
        return changed

    def close(self) -> None:
        """Wake everybody, for good."""
        with self._condition:
            if self._connection is not None and self._storage is not None:
                self._storage.give_back(self._connection)
                self._connection = None
            self._storage = None
            self._count += 1
            self._condition.notify_all()
            if self._watch is not None:
                self._watch.wake()
                while self._polling:  # it sleeps on what is about to be closed
                    self._condition.wait(_LOOK_BUSY_S)
                self._watch.close()
                self._watch = None
