"""The file: one SQLite database, its schema, its connections.

Writers take turns on one connection under one lock; readers borrow a connection each and see a
snapshot. A hub in memory has a single connection for both. Everything that SQLite can complain
of becomes a HubUnavailable that says what to do.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import HubError, HubUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

APPLICATION_ID = 0x56414755  # "VAGU"
SCHEMA_VERSION = 2  # 1 had no id
PAGE_BYTES = 16_384
LOCKED_TIMEOUT_S = 30.0
_LOOK_TIMEOUT_S = 0.002  # for the writer to be free
MEMORY = ":memory:"

_SCHEMA = """
CREATE TABLE topic (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    cleanup TEXT NOT NULL,
    retention_s REAL,
    retention_bytes INTEGER,
    tombstone_retention_s REAL NOT NULL,
    keyed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE partition (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic_id INTEGER NOT NULL REFERENCES topic (id),
    number INTEGER NOT NULL,
    start_offset INTEGER NOT NULL DEFAULT 0,
    end_offset INTEGER NOT NULL DEFAULT 0,
    nbytes INTEGER NOT NULL DEFAULT 0,
    cleaned_to INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic_id, number)
) STRICT;
CREATE TABLE batch (
    id INTEGER PRIMARY KEY,
    partition_id INTEGER NOT NULL,
    base_offset INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    count INTEGER NOT NULL,
    min_timestamp INTEGER NOT NULL,
    max_timestamp INTEGER NOT NULL,
    written_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE dropped (partition_id INTEGER PRIMARY KEY) STRICT;
CREATE INDEX batch_place ON batch (partition_id, base_offset, last_offset, max_timestamp, size);
CREATE TABLE consumer_group (
    name TEXT PRIMARY KEY,
    generation INTEGER NOT NULL DEFAULT 0,
    epoch INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE member (
    id TEXT PRIMARY KEY,
    group_name TEXT NOT NULL,
    client_id TEXT NOT NULL,
    topics TEXT NOT NULL,
    session_timeout_s REAL NOT NULL,
    last_seen REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE ownership (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    owner TEXT,
    target TEXT,
    PRIMARY KEY (group_name, topic, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE position (
    group_name TEXT NOT NULL,
    topic TEXT NOT NULL,
    number INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE writer (id TEXT PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE lease (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL
) STRICT, WITHOUT ROWID;
"""
_SCHEMA_ID = "CREATE TABLE hub (id TEXT NOT NULL) STRICT"


class Storage:
    """A hub's database and the connections to it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.in_memory = path == MEMORY
        self.write_lock = threading.RLock()
        self._sync: bool | None = None
        self._pool: list[sqlite3.Connection] = []
        self._all: list[sqlite3.Connection] = []
        self._pool_lock = threading.Lock()
        self._closed = False
        if not self.in_memory and not Path(path).absolute().parent.is_dir():
            raise HubUnavailable(
                "expected a folder to keep the hub in, got none",
                where=str(Path(path).absolute().parent),
                hint="create it first",
            )
        with self.translated():
            self.writer = self._connect()
            try:
                self._open(self.writer)
            except BaseException:
                self.writer.close()
                raise
            if not self.in_memory:
                self.writer.execute("PRAGMA busy_timeout = 0")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path,
            timeout=LOCKED_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        self._all.append(connection)
        # What is deleted within a page is overwritten; whole pages are left to the vacuum.
        connection.execute("PRAGMA secure_delete = FAST")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute("PRAGMA cache_size = -2048")
        connection.execute("PRAGMA temp_store = MEMORY")
        return connection

    def _open(self, connection: sqlite3.Connection) -> None:
        """Check that the file is ours; make it so if it is empty, and of this format if older."""
        connection.execute("BEGIN")  # another one may make it between a look and the next
        try:
            found = self._format(connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        if found == SCHEMA_VERSION:
            return
        if found is None:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            if not self.in_memory:
                self._use_wal(connection)
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._upgrade(connection)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            # An older file that can only be read is read as it is.
            if found is None or _code(error) != sqlite3.SQLITE_READONLY:
                raise
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        found = self._format(connection)  # another process may have been faster
        if found is None:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        if found != SCHEMA_VERSION:
            connection.execute(_SCHEMA_ID)
            connection.execute("INSERT INTO hub VALUES (?)", (_new_id(),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        # SQLite doesn't wait for the lock here, whatever the timeout is.
        deadline = time.monotonic() + LOCKED_TIMEOUT_S
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    def _format(self, connection: sqlite3.Connection) -> int | None:
        """The file's format; None if it is empty."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if application == APPLICATION_ID:
            if version > SCHEMA_VERSION:
                raise HubUnavailable(
                    f"expected a hub of format {SCHEMA_VERSION} or older, got format {version}",
                    where=self.path,
                    hint="it was written by a newer Vagus: upgrade this one",
                )
            return version
        if application == 0 and tables == 0:
            return None
        raise HubUnavailable(
            "expected a Vagus hub, got a SQLite database of something else",
            where=self.path,
            hint="give the path of a hub, or of a file that does not exist yet",
        )

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns what SQLite raises into errors that say what to do."""
        try:
            yield
        except sqlite3.Error as error:
            if self._closed:
                raise HubError("the hub is closed", where=self.path) from error
            raise unavailable(error, self.path) from error

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection on which one snapshot is seen."""
        if self.in_memory:
            with self.write_lock, self.translated():
                yield self.writer
            return
        with self.translated():
            connection = self.borrow()
            try:
                connection.execute("BEGIN")
                yield connection
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self.give_back(connection)

    def borrow(self) -> sqlite3.Connection:
        """A connection of one's own, outside any transaction, until it is given back."""
        with self._pool_lock:
            if self._closed:
                raise HubError("the hub is closed", where=self.path)
            if self._pool:
                return self._pool.pop()
        return self._connect()

    def give_back(self, connection: sqlite3.Connection) -> None:
        """Let others use a borrowed connection."""
        with self._pool_lock:
            if not self._closed:
                self._pool.append(connection)
                return
        connection.close()

    @contextmanager
    def writing(self, *, sync: bool = True) -> Iterator[sqlite3.Connection]:
        """One write transaction: committed at the end, rolled back on an error.

        With `sync` it survives a loss of power, without it only a crash of the process. The
        caller holds `write_lock` or gets it here.
        """
        with self.write_lock, self.translated():
            connection = self.writer
            if not self.in_memory and sync != self._sync:
                level = "FULL" if sync else "NORMAL"
                self._sync = None  # an interrupt may come anywhere
                connection.execute(f"PRAGMA synchronous = {level}")
                self._sync = sync
            try:
                self._begin(connection)
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _begin(self, connection: sqlite3.Connection) -> None:
        # SQLite's own waiting sleeps up to 100 ms a turn; this keeps turns short and fair.
        deadline = time.monotonic() + LOCKED_TIMEOUT_S
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.0002, 0.001))

    def id(self) -> str:
        """What was made at random with the file, and tells it from one made later in its place."""
        with self.reading() as connection:
            if self._format(connection) != SCHEMA_VERSION:
                raise HubUnavailable(
                    f"expected a hub of format {SCHEMA_VERSION}, which has an id, got an older one "
                    "that can only be read",
                    where=self.path,
                    hint="open it once where it can be written: it is given one",
                )
            found: str = connection.execute("SELECT id FROM hub").fetchone()[0]
            return found

    def renew_id(self) -> None:
        """Tell the file from the one that it was copied from."""
        with self.writing() as connection:
            connection.execute("UPDATE hub SET id = ?", (_new_id(),))

    def version(self) -> int | None:
        """A number that another process' commits change, and this one's don't.

        None while this process writes: ask again.
        """
        if not self.write_lock.acquire(timeout=_LOOK_TIMEOUT_S):
            return None
        try:
            with self.translated():
                # Asked on the writer, whose own commits don't count.
                version: int = self.writer.execute("PRAGMA data_version").fetchone()[0]
                return version
        finally:
            self.write_lock.release()

    def wal_bytes(self) -> int:
        """Size of the write-ahead log's file."""
        with suppress(OSError):
            return os.stat(f"{self.path}-wal").st_size
        return 0

    def file_bytes(self) -> int:
        """Size of the database with its write-ahead log."""
        if self.in_memory:
            with self.reading() as connection:
                pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
                return pages * PAGE_BYTES
        return os.stat(self.path).st_size + self.wal_bytes()

    def close(self) -> None:
        """Close all connections that nobody is using; the others when they are given back."""
        with self.write_lock, self._pool_lock:
            if self._closed:
                return
            self._closed = True
            for connection in self._pool:
                connection.close()
            self._pool.clear()
            self.writer.close()

    def abandon(self) -> list[sqlite3.Connection]:
        """In a forked child: forget the connections without closing them."""
        self._closed = True
        return self._all


def _new_id() -> str:
    return uuid.uuid4().hex


def _code(error: sqlite3.Error) -> int:
    """SQLite's code of an error, without its details; 0 if it has none."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def unavailable(error: sqlite3.Error, path: str) -> HubUnavailable:
    """What a SQLite error means for the user of a hub."""
    meanings = {
        sqlite3.SQLITE_BUSY: (
            f"expected the hub's lock within {LOCKED_TIMEOUT_S:.0f} s, got none",
            "another process keeps the file locked: find it (`fuser` on the file) and end it",
        ),
        sqlite3.SQLITE_FULL: (
            "expected room to write, got a full disk",
            "nothing that was acknowledged is lost; make room, or shorten the topics' retention",
        ),
        sqlite3.SQLITE_READONLY: (
            "expected a file that can be written, got a read-only one",
            "change the permissions of the file and of its folder",
        ),
        sqlite3.SQLITE_CANTOPEN: (
            "expected a file that can be opened, got none",
            "check the path, and the permissions of its folder",
        ),
        sqlite3.SQLITE_NOTADB: (
            "expected a Vagus hub, got a file of another kind",
            "give the path of a hub, or of a file that does not exist yet",
        ),
        sqlite3.SQLITE_CORRUPT: (
            "expected a sound file, got a damaged one",
            "`vagus hub check` says what is lost; restore a backup",
        ),
        sqlite3.SQLITE_IOERR: (
            f"the disk failed ({error})",
            "check the disk; nothing that was acknowledged before is changed",
        ),
    }
    message, hint = meanings.get(_code(error), (f"the database failed ({error})", None))
    return HubUnavailable(message, where=path, hint=hint)
