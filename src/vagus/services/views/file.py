"""The file: one SQLite database for the views of a service.

Its rows follow from the hub's events and the positions beside them, so that a commit needn't wait
for the disk: what a loss of power takes away is read again. One thread writes at a time; readers
see a snapshot. In memory there is a single connection for both.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vagus.errors import VagusError
from vagus.services.views.columns import DECIMAL, compare_decimals
from vagus.services.views.pulse import Pulse

__all__ = ["MEMORY", "ViewFile"]

MEMORY = ":memory:"
_APPLICATION_ID = 0x56415657  # "VAVW"
_VERSION = 2  # 1 didn't know whose events its rows were made of
_LOCKED_TIMEOUT_S = 30.0

_SCHEMA = """
CREATE TABLE service (name TEXT NOT NULL) STRICT;
CREATE TABLE generation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    view TEXT NOT NULL,
    version INTEGER NOT NULL,
    digest TEXT NOT NULL,
    shape TEXT NOT NULL,
    hub TEXT NOT NULL,
    live INTEGER NOT NULL DEFAULT 0,
    seq INTEGER NOT NULL DEFAULT 0,
    gone_from INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    error TEXT
) STRICT;
CREATE TABLE position (
    generation INTEGER NOT NULL,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (generation, topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE request (
    view TEXT PRIMARY KEY,
    digest TEXT NOT NULL,
    refused TEXT
) STRICT, WITHOUT ROWID;
"""


class ViewFile:
    """A database of views. `pulse` beats at each commit of this process.

    `hub` is the id of the hub at hand: what was built from another one's events isn't seen.
    """

    def __init__(self, path: str, service: str, hub: str) -> None:
        self.path, self.hub = path, hub
        self.in_memory = path == MEMORY
        self.pulse = Pulse()
        self._lock = threading.RLock()
        self._pool: list[sqlite3.Connection] = []
        self._pool_lock = threading.Lock()
        self._closed = False
        if not self.in_memory and not Path(path).absolute().parent.is_dir():
            raise VagusError(
                "expected a folder to keep the views in, got none",
                where=str(Path(path).absolute().parent),
                hint="create it first",
            )
        try:
            self._writer = self._connect()
            try:
                self._open(service)
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise VagusError(
                f"expected a file of views, got one that can't be used: {error}",
                where=path,
                hint="it can be deleted: views are built again from their events",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(
            self.path,
            timeout=_LOCKED_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        db.create_collation(DECIMAL, compare_decimals)
        if not self.in_memory:
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA cache_size = -32768")
        return db

    def _open(self, service: str) -> None:
        db = self._writer
        if not self.in_memory and db.execute("PRAGMA user_version").fetchone()[0] == 0:
            db.execute("PRAGMA page_size = 8192")
        if not self.in_memory:
            db.execute("PRAGMA journal_mode = WAL")
        with self.writing(quiet=True):
            application = db.execute("PRAGMA application_id").fetchone()[0]
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if application == 0 and version == 0:
                if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise self._foreign("a database of something else")
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO service VALUES (?)", (service,))
                db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {_VERSION}")
                return
            if application != _APPLICATION_ID:
                raise self._foreign("a database of something else")
            if version not in (1, _VERSION):
                raise self._foreign(f"one of version {version}")
            owner = db.execute("SELECT name FROM service").fetchone()[0]
            if owner != service:
                raise self._foreign(f"that of service {owner!r}")
            if version == 1:
                # Nothing says that it is another hub's, and most are not.
                db.execute("ALTER TABLE generation ADD COLUMN hub TEXT NOT NULL DEFAULT ''")
                db.execute("UPDATE generation SET hub = ?", (self.hub,))
                db.execute(f"PRAGMA user_version = {_VERSION}")

    def _foreign(self, what: str) -> VagusError:
        return VagusError(
            f"expected the views of this service, got {what}",
            where=self.path,
            hint="give the service a file of its own",
        )

    @contextmanager
    def writing(self, *, quiet: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction, committed at the end, or rolled back by what is raised."""
        with self._lock:
            self._check_open()
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        if not quiet:
            self.pulse.beat()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot of what is committed."""
        if self.in_memory:
            with self._lock:
                self._check_open()
                yield self._writer
            return
        db = self._borrow()
        try:
            db.execute("BEGIN")
            yield db
        finally:
            if db.in_transaction:
                db.execute("COMMIT")
            self._give_back(db)

    def watcher(self) -> sqlite3.Connection:
        """A connection of its own, to look for the commits of other processes."""
        return self._connect()

    def close(self) -> None:
        """Let go of everything. May be called twice."""
        with self._lock, self._pool_lock:
            if self._closed:
                return
            self._closed = True
            for db in self._pool:
                db.close()
            self._pool.clear()
            self._writer.close()
        self.pulse.beat()

    def _check_open(self) -> None:
        if self._closed:
            raise VagusError("expected open views, got closed ones", where=self.path)

    def _borrow(self) -> sqlite3.Connection:
        with self._pool_lock:
            self._check_open()
            if self._pool:
                return self._pool.pop()
        db = self._connect()
        db.execute("PRAGMA query_only = ON")
        return db

    def _give_back(self, db: sqlite3.Connection) -> None:
        with self._pool_lock:
            if not self._closed and len(self._pool) < 16:
                self._pool.append(db)
                return
        db.close()


def quoted(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'
