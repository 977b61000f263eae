"""Waiting for somebody, in this process or in another one, to commit.

In one process a condition wakes the waiters. For the other processes one of the waiters looks
at SQLite's counter of changes every few milliseconds, on behalf of all.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from vagus.hub.local.storage import Storage

# A look costs 0.15 to 0.4 ms of CPU, nearly all of it for waking up: so a process that waits for
# nothing stays below 1%. Where something has just happened, more is likely to.
_POLL_BUSY_S = 0.004
_POLL_IDLE_S = 0.045
_BUSY_FOR_S = 0.1


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
                    pause = _POLL_BUSY_S if now < self._busy_until else _POLL_IDLE_S
                    self._condition.wait(min(left, pause))
                    if self._count == token and self._changed():
                        self._count += 1
                        self._condition.notify_all()
                finally:
                    self._polling = False
            # Somebody else has to poll now.
            if self._storage is not None:
                self._condition.notify_all()

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
