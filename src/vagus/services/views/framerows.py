"""Rows of a view on columns: whole frames put at once."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import VagusError, nearest
from vagus.services.views.file import quoted

if TYPE_CHECKING:
    from vagus.events.encrypting import Encrypting
    from vagus.services.views.declare import ViewType
    from vagus.services.views.rows import Reading
    from vagus.services.views.table import Table

__all__ = ["FrameRows"]

_GONE = "_gone"


class FrameRows:
    """The rows of a view on columns, for its function.

    `put_frame` takes rows, the last one of each key; `delete_keys` removes rows; `frame` gives the
    rows of keys, with all that was changed before.
    """

    def __init__(self, view: ViewType, table: Table, reading: Reading, keys: Encrypting) -> None:
        self._view, self._form = view, view.form
        self._key = view.key
        self._table, self._reading = table, reading
        self._keys, self._persons = keys, keys.session()
        self._changes: list[pl.DataFrame] = []
        self._mark = 0

    def put_frame(self, frame: pl.DataFrame) -> None:
        """Keep the rows of a frame, in place of those that had their keys.

        It has a column for each field of a row; one that may be None can be left out. Raises
        VagusError for columns that are unknown, missing or of another type. What a field's
        constraints say beyond its type isn't checked.
        """
        where = f"view {self._view.name!r}"
        if not isinstance(frame, pl.DataFrame):
            raise VagusError(
                f"expected a Polars DataFrame, got {type(frame).__name__}", where=where
            )
        for name in frame.columns:
            if name not in self._form.columns:
                raise VagusError(
                    f"no field {name!r}",
                    where=where,
                    hint=nearest(name, self._form.columns)
                    or "select the columns that are fields of a row",
                )
        stored = []
        for name, column in self._form.columns.items():
            if name in frame.columns:
                series = frame[name]
            elif column.nullable:
                series = pl.Series(name, [None] * frame.height, dtype=pl.Null)
            else:
                raise VagusError(f"expected a column {name!r}", where=where)
            try:
                stored.append(column.series(series))
            except ValueError as error:
                raise VagusError(f"expected {error}", where=f"{where}, field {name}") from None
        for at, name in enumerate(self._form.columns):
            if person := self._form.personal.get(name):
                people = frame[person].to_list() if person in frame.columns else []
                texts = stored[at].to_list()
                sealed = self._persons.seal_texts(name, texts, people or [None] * len(texts))
                stored[at] = pl.Series(name, sealed, pl.String)
        made = pl.DataFrame(stored).with_columns(pl.lit(False).alias(_GONE))
        self._changes.append(made.unique(self._key, keep="last", maintain_order=True))

    def delete_keys(self, keys: pl.Series) -> None:
        """Remove the rows of these keys."""
        self._changes.append(
            pl.DataFrame([self._stored(keys)]).with_columns(pl.lit(True).alias(_GONE)).unique()
        )

    def frame(self, keys: pl.Series) -> pl.DataFrame:
        """The rows of these keys that there are, as a frame that `put_frame` takes.

        Decimals, UUIDs and nested values are text in it.
        """
        wanted = pl.DataFrame([self._stored(keys)]).unique()
        values = wanted[self._key].to_list()
        # SQLite takes many keys as one value: a JSON text.
        if values and isinstance(values[0], bytes):
            marks, given = ", ".join("?" * len(values)), values
        else:
            marks, given = "SELECT value FROM json_each(?)", [json.dumps(values)]
        with self._reading() as db:
            found = db.execute(
                f"SELECT {self._table.selected} FROM {self._table.rows} "
                f"WHERE {quoted(self._key)} IN ({marks})",
                given,
            ).fetchall()
        rows = pl.DataFrame(found, schema=self._stored_types, orient="row")
        pending = self._pending()
        if pending is not None:
            changed = wanted.join(pending, on=self._key, how="inner").filter(~pl.col(_GONE))
            kept = rows.join(pending.select(self._key), on=self._key, how="anti")
            if changed.height:
                live = changed.select(rows.columns).cast(pl.Schema(self._stored_types))
                rows = pl.concat([kept, live])
            else:
                rows = kept
        return rows.with_columns(
            self._decrypted(rows[name])
            if name in self._form.personal
            else column.logical(rows[name])
            for name, column in self._form.columns.items()
        )

    def _decrypted(self, series: pl.Series) -> pl.Series:
        texts = [self._persons.open_text(series.name, text) for text in series.to_list()]
        values = [None if text is None else json.loads(text) for text in texts]
        return pl.Series(series.name, values, strict=False)

    # For what calls the function

    def begin(self) -> None:
        """What follows can be taken back."""
        self._mark = len(self._changes)

    def take_back(self) -> None:
        """Forget what was changed since `begin`."""
        del self._changes[self._mark :]

    def take_back_all(self) -> None:
        """Forget what was changed since the last commit."""
        self._changes.clear()
        self._mark = 0

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._changes)

    def write(self, db: sqlite3.Connection, seq: int) -> None:
        """Write all changes to the table."""
        pending = self._pending()
        if pending is None:
            return
        gone = pending.filter(pl.col(_GONE))[self._key].to_list()
        live = pending.filter(~pl.col(_GONE))
        rows: list[tuple[Any, ...]] = []
        if live.height:
            rows = live.select(*self._form.columns, pl.lit(seq).alias("_seq")).rows()
        self._table.write(db, rows, gone, seq)

    def written(self) -> None:
        """The changes are committed."""
        self.take_back_all()
        self._persons = self._keys.session()

    @property
    def _stored_types(self) -> dict[str, pl.DataType]:
        kinds: dict[str, pl.DataType] = {
            "INTEGER": pl.Int64(),
            "REAL": pl.Float64(),
            "BLOB": pl.Binary(),
        }
        columns = self._form.columns.items()
        return {name: kinds.get(column.sql, pl.String()) for name, column in columns}

    def _stored(self, keys: pl.Series) -> pl.Series:
        try:
            return self._form.columns[self._key].series(keys.alias(self._key))
        except ValueError as error:
            raise VagusError(
                f"expected {error} as keys", where=f"view {self._view.name!r}"
            ) from None

    def _pending(self) -> pl.DataFrame | None:
        """The last change of each key."""
        if not self._changes:
            return None
        whole = (
            self._changes[0]
            if len(self._changes) == 1
            else pl.concat(self._changes, how="diagonal_relaxed")
        )
        return whole.unique(self._key, keep="last", maintain_order=True)
