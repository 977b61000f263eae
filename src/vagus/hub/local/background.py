"""What goes on beside: heartbeats, unwaited appends, checkpoints, housekeeping.

One daemon thread for each open hub. Housekeeping is done by one process at a time, the one that
holds the lease.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from vagus.errors import VagusError
from vagus.hub.local import groups

if TYPE_CHECKING:
    import sqlite3

    from vagus.hub.local.hub import LocalHub
    from vagus.hub.local.member import LocalMember

TICK_S = 0.5
HOUSEKEEPING_EVERY_S = 5.0

_log = logging.getLogger("vagus.hub")


class Background:
    """The thread of one hub."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._mutex = threading.Lock()
        self._last_beat = self._next_beat = 0.0
        self._next_housekeeping = time.monotonic() + HOUSEKEEPING_EVERY_S

    def start(self) -> None:
        """Start the thread if it isn't running."""
        with self._mutex:
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="vagus-hub", daemon=True)
                self._thread.start()

    def nudge(self) -> None:
        """There is something to do now."""
        self._wake.set()

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        pause_s = TICK_S
        while not self._stopping:
            self._wake.wait(pause_s)
            self._wake.clear()
            try:
                self._tick()
                pause_s = min([TICK_S, *(_beat_every_s(one) for one in self._hub.members())])
            except VagusError as error:
                # Whoever appends or reads next will be told; here nobody is there to tell.
                _log.warning("the hub's upkeep failed and will be tried again: %s", error)

    def _tick(self) -> None:
        hub = self._hub
        hub.committer.flush()
        self._beat()
        hub.checkpointer.run_if_due()
        if time.monotonic() >= self._next_housekeeping:
            hub.housekeeper.run_if_leased(self._pause)
            hub.checkpointer.run()
            self._next_housekeeping = time.monotonic() + HOUSEKEEPING_EVERY_S

    def _pause(self) -> bool:
        """Between the steps of housekeeping, what can't wait."""
        self._hub.committer.flush()
        self._beat()
        self._hub.checkpointer.run_if_due()
        return self._stopping

    def _beat(self) -> None:
        """Say that this process' members are alive, and expel those that are silent."""
        hub = self._hub
        now = hub.clock()
        members = [member for member in hub.members() if member.alive]
        if members and not self._last_beat <= now < self._next_beat:
            self._last_beat = now
            self._next_beat = now + min(map(_beat_every_s, members))
            ids = [member.id for member in members]
            hub.committer.submit(
                lambda db: groups.touch(db, ids, now), sync=False, touches=frozenset()
            )
        with hub.storage.reading() as db:
            silent = groups.expired(db, now)
        if silent:

            def expel(db: sqlite3.Connection) -> None:
                for group in silent:
                    groups.expire(db, group, now)

            hub.committer.submit(expel, sync=False)


def _beat_every_s(member: LocalMember) -> float:
    return min(3.0, member.session_timeout_s / 5)
