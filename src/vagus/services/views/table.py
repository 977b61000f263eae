"""The table of one generation of a view: its rows, its deletions, its words."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagus.hub import TopicPartition
from vagus.services.views.file import quoted

if TYPE_CHECKING:
    from vagus.services.views.declare import ViewType

__all__ = ["Generation", "Table"]

_GONE_MAX = 10_000  # deletions that those who follow a view's changes can still hear of


@dataclass(frozen=True)
class Generation:
    """One build of a view: what it was built with, of which hub, and whether it answers."""

    id: int
    view: str
    version: int
    digest: str
    shape: list[list[Any]]
    hub: str
    live: bool
    seq: int
    gone_from: int
    done: int
    total: int
    error: dict[str, Any] | None

    @classmethod
    def all(cls, db: sqlite3.Connection, view: str, hub: str) -> list[Generation]:
        """Those of a view that were built from this hub's events, oldest first."""
        return [each for each in cls._every(db, view) if each.hub == hub]

    @classmethod
    def foreign(cls, db: sqlite3.Connection, view: str, hub: str) -> list[Generation]:
        """Those of a view that were built from another hub's events."""
        return [each for each in cls._every(db, view) if each.hub != hub]

    @classmethod
    def _every(cls, db: sqlite3.Connection, view: str) -> list[Generation]:
        found = db.execute(f"SELECT {_COLUMNS} FROM generation WHERE view = ? ORDER BY id", (view,))
        return [cls._of(row) for row in found.fetchall()]

    @classmethod
    def live_of(cls, db: sqlite3.Connection, view: str, hub: str) -> Generation | None:
        """The one that answers on this hub."""
        row = db.execute(
            f"SELECT {_COLUMNS} FROM generation WHERE view = ? AND hub = ? AND live", (view, hub)
        ).fetchone()
        return None if row is None else cls._of(row)

    @classmethod
    def _of(cls, row: tuple[Any, ...]) -> Generation:
        number, view, version, digest, shape, hub, live, seq, gone_from, done, total, error = row
        stop = None if error is None else json.loads(error)
        build = (number, view, version, digest, json.loads(shape), hub, bool(live))
        return cls(*build, seq, gone_from, done, total, stop)

    @property
    def columns(self) -> list[str]:
        """The names of the fields that it stores."""
        return [part[0] for part in self.shape]


_COLUMNS = "id, view, version, digest, shape, hub, live, seq, gone_from, done, total, error"


def positions(db: sqlite3.Connection, generation: int) -> dict[TopicPartition, int]:
    """The offsets that a generation reads next."""
    found = db.execute(
        "SELECT topic, partition, next_offset FROM position WHERE generation = ?", (generation,)
    )
    return {TopicPartition(topic, part): offset for topic, part, offset in found.fetchall()}


def table_name(view: str, generation: int) -> str:
    """What a generation's table is called."""
    return f"{view}@{generation}"


class Table:
    """Writes the rows of a generation."""

    def __init__(self, view: ViewType, generation: int) -> None:
        self._view = view
        name = table_name(view.name, generation)
        self._rows, self._gone = quoted(name), quoted(f"{name} gone")
        self._words = quoted(f"{name} words")
        self._names = list(view.form.columns)
        self._key = quoted(view.key)
        columns = ", ".join(map(quoted, [*self._names, "_seq"]))
        marks = ", ".join("?" * (len(self._names) + 1))
        changed = [each for each in self._names if each != view.key]
        sets = ", ".join(f"{quoted(n)} = excluded.{quoted(n)}" for n in [*changed, "_seq"])
        self._upsert = (
            f"INSERT INTO {self._rows} ({columns}) VALUES ({marks}) "
            f"ON CONFLICT ({self._key}) DO UPDATE SET {sets}"
        )
        self._delete = f"DELETE FROM {self._rows} WHERE {self._key} = ?"
        self._bury = (
            f"INSERT OR REPLACE INTO {self._gone} "
            f"SELECT {self._key}, ? FROM {self._rows} WHERE {self._key} = ?"
        )
        self.selected = ", ".join(f"{quoted(n)}" for n in self._names)
        self.get = f"SELECT {self.selected} FROM {self._rows} WHERE {self._key} = ?"
        self.rows = self._rows

    def create(self, db: sqlite3.Connection) -> None:
        """Make the table. What speeds up questions comes with `finish`."""
        parts = []
        for name, column in self._view.form.columns.items():
            needed = "" if column.nullable else " NOT NULL"
            unique = " UNIQUE" if self._view.search and name == self._view.key else ""
            # A collation is no part of a type, and stands behind the rest.
            kind, _, collation = column.sql.partition(" ")
            parts.append(f"{quoted(name)} {kind}{needed} {collation}{unique}")
        parts.append("_seq INTEGER NOT NULL")
        if self._view.search:
            db.execute(
                f"CREATE TABLE {self._rows} (_id INTEGER PRIMARY KEY, {', '.join(parts)}) STRICT"
            )
        else:
            db.execute(
                f"CREATE TABLE {self._rows} ({', '.join(parts)}, PRIMARY KEY ({self._key})) "
                "STRICT, WITHOUT ROWID"
            )
        key = self._view.form.columns[self._view.key]
        kind, _, collation = key.sql.partition(" ")
        db.execute(
            f"CREATE TABLE {self._gone} (key {kind} {collation} PRIMARY KEY, seq INTEGER NOT NULL) "
            "STRICT"
        )

    def finish(self, db: sqlite3.Connection) -> None:
        """Make the indexes; from now on they are kept up to date."""
        for field in [*self._view.index, "_seq"]:
            index = quoted(f"{self._rows[1:-1]} by {field}")
            db.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {self._rows} ({quoted(field)})")
        index = quoted(f"{self._gone[1:-1]} by seq")
        db.execute(f"CREATE INDEX IF NOT EXISTS {index} ON {self._gone} (seq)")
        if self._view.search:
            self._index_words(db)

    def _index_words(self, db: sqlite3.Connection) -> None:
        fields = [quoted(name) for name in self._view.search]
        listed = ", ".join(fields)
        rows = self._rows[1:-1].replace("'", "''")
        words = self._words
        db.execute(
            f"CREATE VIRTUAL TABLE IF NOT EXISTS {words} USING fts5 ({listed}, content='{rows}', "
            "content_rowid='_id')"
        )
        db.execute(f"INSERT INTO {words} ({words}) VALUES ('rebuild')")
        old = ", ".join(f"old.{field}" for field in fields)
        new = ", ".join(f"new.{field}" for field in fields)
        remove = f"INSERT INTO {words} ({words}, rowid, {listed}) VALUES ('delete', old._id, {old})"
        add = f"INSERT INTO {words} (rowid, {listed}) VALUES (new._id, {new})"
        for when, actions in (
            ("INSERT", [add]),
            ("DELETE", [remove]),
            (f"UPDATE OF {listed}", [remove, add]),
        ):
            trigger = quoted(f"{self._rows[1:-1]} {when.split()[0].lower()}")
            db.execute(
                f"CREATE TRIGGER IF NOT EXISTS {trigger} AFTER {when} ON {self._rows} "
                f"BEGIN {'; '.join(actions)}; END"
            )

    def write(
        self, db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]], gone: Sequence[Any], seq: int
    ) -> None:
        """Put rows, each ending in its `seq`, and delete keys."""
        db.executemany(self._upsert, rows)
        if gone:
            db.executemany(self._bury, [(seq, key) for key in gone])
            db.executemany(self._delete, [(key,) for key in gone])

    def forget_old(self, db: sqlite3.Connection, generation: int) -> None:
        """Forget all but the last deletions."""
        oldest = db.execute(
            f"SELECT seq FROM {self._gone} ORDER BY seq DESC LIMIT 1 OFFSET ?", (_GONE_MAX,)
        ).fetchone()
        if oldest is not None:
            db.execute(f"DELETE FROM {self._gone} WHERE seq <= ?", oldest)
            db.execute("UPDATE generation SET gone_from = ? WHERE id = ?", (oldest[0], generation))

    def empty(self, db: sqlite3.Connection) -> bool:
        """Whether there are no rows."""
        return db.execute(f"SELECT 1 FROM {self._rows} LIMIT 1").fetchone() is None


def drop(db: sqlite3.Connection, generation: Generation) -> None:
    """Remove a generation with all that it holds."""
    name = table_name(generation.view, generation.id)
    for part in (f"{name} words", f"{name} gone", name):
        db.execute(f"DROP TABLE IF EXISTS {quoted(part)}")
    db.execute("DELETE FROM position WHERE generation = ?", (generation.id,))
    db.execute("DELETE FROM generation WHERE id = ?", (generation.id,))
