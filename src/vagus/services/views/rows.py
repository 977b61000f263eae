"""Rows, as a view's function sees and changes them, event by event.

What it changes is kept here until the commit. What one event changed can be taken back, so that an
event that fails in the middle leaves nothing behind.
"""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vagus.errors import VagusError
from vagus.services.views.question import conditions_of
from vagus.services.views.row import Row

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from vagus.events.encrypting import Encrypting
    from vagus.services.views.declare import ViewType
    from vagus.services.views.question import Condition
    from vagus.services.views.table import Table

__all__ = ["Rows"]

R = TypeVar("R", bound=Row)
_CACHED_MAX = 100_000
_UNSAVED_MAX = 512  # of a batch of a view that looks rows up by their fields

_NOT_HERE: Any = object()
Reading = Callable[[], "AbstractContextManager[sqlite3.Connection]"]


class TooManyUnsaved(BaseException):
    """A search among the rows has to wait for a commit: the batch is to be taken in parts."""


class Rows(Generic[R]):
    """The rows of a view, for its function.

    `put` takes a row, in place of the one of its key; `update` changes fields of one; `delete`
    removes one; `get` and `where` find rows, with all that earlier events changed.
    """

    def __init__(
        self, view: ViewType, table: Table, reading: Reading, keys: Encrypting, *, empty: bool
    ) -> None:
        self._view, self._form = view, view.form
        self._row: type[Row] = view.row
        self._key = view.key
        self._table, self._reading = table, reading
        self._keys, self._persons = keys, keys.session()
        self._changes: dict[Any, R | None] = {}
        self._journal: list[tuple[Any, Any]] = []
        self._cache: dict[Any, R | None] = {}
        self._whole = empty  # whether what isn't in the cache isn't there at all

    def put(self, row: R) -> None:
        """Keep a row, in place of the one that had its key."""
        if row.__class__ is not self._row:
            raise VagusError(
                f"expected a row of {self._row.__name__}, got {type(row).__name__}",
                where=f"view {self._view.name!r}",
            )
        key = row.__dict__[self._key]
        changes = self._changes
        self._journal.append((key, changes.get(key, _NOT_HERE)))
        changes[key] = row

    def update(self, key: Any, **changes: Any) -> R:
        """Give fields of a row other values; the new row.

        Raises VagusError if there is no row of that key, or a value doesn't fit its field.
        """
        row = self.get(key)
        if row is None:
            raise VagusError(
                f"expected a row with {self._key}={key!r} to update, got none",
                where=f"view {self._view.name!r}",
                hint="where it may be missing, ask rows.get(key) first",
            )
        made: R = self._form.changed(row, changes, self._view.name)
        if made.__dict__[self._key] != row.__dict__[self._key]:
            raise VagusError(
                f"expected {self._key!r}, the key, to stay {key!r}",
                where=f"view {self._view.name!r}",
                hint="delete the row, and put one with the other key",
            )
        self.put(made)
        return made

    def delete(self, key: Any) -> None:
        """Remove the row of a key, if there is one."""
        key = self._valid_key(key)
        self._journal.append((key, self._changes.get(key, _NOT_HERE)))
        self._changes[key] = None

    def get(self, key: Any) -> R | None:
        """The row of a key, or None."""
        found: Any = self._changes.get(key, _NOT_HERE)
        if found is _NOT_HERE:
            found = self._cache.get(key, _NOT_HERE)
            if found is _NOT_HERE:
                valid = self._valid_key(key)
                if valid != key:
                    return self.get(valid)
                found = None if self._whole else self._looked_up(key)
        row: R | None = found
        return row

    def where(self, **filters: Any) -> list[R]:
        """The rows that all filters fit, ordered by key; filters are those of questions.

        It costs a look into the table: declare an index on what is often asked for.
        """
        # All that is unsaved is looked through, and what this event changed can't be saved yet.
        if len(self._changes) - len(self._journal) > _UNSAVED_MAX:
            raise TooManyUnsaved
        conditions = conditions_of(self._view.name, self._form, filters)
        clause = " AND ".join(condition.sql for condition in conditions) or "1"
        values = [value for condition in conditions for value in condition.values]
        with self._reading() as db:
            stored = db.execute(
                f"SELECT {self._table.selected} FROM {self._table.rows} WHERE {clause}", values
            ).fetchall()
        found = {row.__dict__[self._key]: row for row in self._form.make(stored, self._persons)}
        for key, row in self._changes.items():
            found.pop(key, None)
            if row is not None and all(_fits(row, condition) for condition in conditions):
                found[key] = row
        return [found[key] for key in sorted(found)]

    # For what calls the function

    def begin(self) -> list[tuple[Any, Any]]:
        """The journal of changes, to be cleared before each event."""
        return self._journal

    def take_back(self) -> None:
        """Forget what was changed since the journal was cleared."""
        for key, before in reversed(self._journal):
            if before is _NOT_HERE:
                self._changes.pop(key, None)
            else:
                self._changes[key] = before
        self._journal.clear()

    def take_back_all(self) -> None:
        """Forget what was changed since the last commit."""
        self._changes.clear()
        self._journal.clear()

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._changes)

    def write(self, db: sqlite3.Connection, seq: int) -> None:
        """Write all changes to the table."""
        column = self._form.columns[self._key]
        rows = [row for row in self._changes.values() if row is not None]
        gone = column.encoded([key for key, row in self._changes.items() if row is None])
        self._table.write(db, self._form.stored(rows, seq, self._persons), gone, seq)

    def written(self) -> None:
        """The changes are committed."""
        self._cache.update(self._changes)
        self._changes.clear()
        self._journal.clear()
        self._persons, before = self._keys.session(), self._persons
        # Rows in memory may hold what was erased meanwhile; the stored ones no longer do.
        forgot = bool(self._form.personal) and self._persons.since != before.since
        if forgot or len(self._cache) > _CACHED_MAX:
            self._cache.clear()
            self._whole = False

    def _looked_up(self, key: Any) -> R | None:
        wanted = self._form.columns[self._key].stored(key)
        with self._reading() as db:
            stored = db.execute(self._table.get, (wanted,)).fetchone()
        row: R | None = None if stored is None else self._form.make([stored], self._persons)[0]
        self._cache[key] = row
        return row

    def _valid_key(self, key: Any) -> Any:
        try:
            return self._form.columns[self._key].valid(key)
        except ValueError as error:
            raise VagusError(
                f"expected {error} as {self._key!r}, got {key!r}",
                where=f"view {self._view.name!r}",
            ) from None


_COMPARED = {"=": operator.eq, ">=": operator.ge, "<": operator.lt}


def _fits(row: Row, condition: Condition) -> bool:
    value = row.__dict__[condition.field]
    if condition.operator == "=":
        return value in condition.given
    return value is not None and _COMPARED[condition.operator](value, condition.given[0])
