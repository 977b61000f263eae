"""Moving what was written from the write-ahead log into the database, away from appends.

A commit only appends to the log. If the log were never emptied it would grow for ever; if the
committing thread emptied it, an append would now and then wait for seconds.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from vagus.errors import HubUnavailable

if TYPE_CHECKING:
    from vagus.hub.local.committer import Committer
    from vagus.hub.local.storage import Storage

DUE_BYTES = 48 << 20
"""How much is written to the log between two checkpoints.

Then it is written anew from its beginning, which takes half as long: to sync a file that has grown
is more work.
"""

TRUNCATE_BYTES = 256 << 20
"""A log's file larger than this is cut off when it is empty."""

_PASSES = 3
_CUTS, _CUT_AGAIN_S = 50, 0.1


class Checkpointer:
    """Empties the log of one hub."""

    def __init__(self, storage: Storage, committer: Committer) -> None:
        self._storage = storage
        self._committer = committer
        self._mutex = threading.Lock()

    def run_if_due(self) -> None:
        """Run after every so many bytes."""
        if self._committer.unchecked_bytes >= DUE_BYTES:
            self.run()

    def run(self) -> None:
        """Move everything over, so that the next commit starts the log anew."""
        if self._storage.in_memory:
            return
        with self._mutex, self._storage.translated():
            connection = self._storage.borrow()
            try:
                self._run(connection)
            finally:
                self._storage.give_back(connection)

    def cut(self) -> None:
        """Move everything over and cut the log's file off, so that no old page stays in it.

        Raises HubUnavailable if readers stay in the way.
        """
        if self._storage.in_memory:
            return
        with self._mutex, self._storage.translated():
            connection = self._storage.borrow()
            try:
                for _ in range(_CUTS):
                    busy, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                    if not busy:
                        return
                    time.sleep(_CUT_AGAIN_S)
            finally:
                self._storage.give_back(connection)
        raise HubUnavailable(
            "expected to cut off the hub's log, but it is being read all the time",
            where=self._storage.path,
            hint="try again when less goes on",
        )

    def _run(self, connection: sqlite3.Connection) -> None:
        left = 0
        for _ in range(_PASSES):
            self._committer.unchecked_bytes = 0
            _, total, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            left = total - moved
            if left <= 0:
                break
        # Only a log that is wholly moved can start anew: the last bit is moved while writers
        # of this process wait. If a reader or another process is in the way, next time will do.
        with self._storage.write_lock:
            connection.execute("PRAGMA busy_timeout = 50")
            try:
                large = self._storage.wal_bytes() > TRUNCATE_BYTES
                connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if large else 'RESTART'})")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
            finally:
                connection.execute("PRAGMA busy_timeout = 30000")
