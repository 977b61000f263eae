"""A view: one table of an application, to query."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl

from vagus.errors import VagusError
from vagus.events.cipher import plain_type
from vagus.hub.personkeys import PersonKeys
from vagus.runtime.frame import KEY, TIME, TIME_TYPE
from vagus.runtime.replica import no_progress
from vagus.runtime.topic import WINDOW_START
from vagus.streams.followed import Followed

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.replica import Progress
    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_KEY_TYPES: dict[str, type] = {"str": str, "int": int, "uuid": str, "bytes": bytes}


class View(Followed):
    """One table. Safe to use from several threads.

    `columns` are those of a row. It is made by `Views`, and holds nothing before `open`.
    """

    def __init__(
        self, topic: Topic, hub: Hub, registry: Registry, *, progress: Progress = no_progress
    ) -> None:
        super().__init__(topic, hub, registry, progress=progress)
        self.columns: dict[str, pl.DataType] = dict(topic.columns)
        if topic.key not in self.columns:
            self.columns = {KEY: topic.key_type, **self.columns}
        if topic.windowed:
            self.columns.setdefault(WINDOW_START, TIME_TYPE)
        self._marks = topic.marks
        for name, mark in self._marks.items():
            self.columns[name] = plain_type(mark)
        self._place = [KEY, WINDOW_START] if topic.windowed else [KEY]

    @property
    def windowed(self) -> bool:
        """Whether rows are found by key and window."""
        return self.topic.windowed

    @property
    def key(self) -> str:
        """The column that holds the key."""
        field = self.topic.key
        return field if field is not None and field in self.topic.columns else KEY

    # Questions

    def get(
        self,
        key: Any,
        *,
        window_from: datetime | None = None,
        window_to: datetime | None = None,
    ) -> dict[str, Any] | list[dict[str, Any]] | None:
        """The row of a key, or None; of a windowed table the rows of its windows, oldest first.

        `window_from` and `window_to` bound the starts of windows, the end being left out. Raises
        VagusError for a key of another type, ViewNotReady before the view is restored.
        """
        found = self.rows_of(key, window_from=window_from, window_to=window_to)
        rows = [dict(zip(self.columns, row, strict=True)) for row in found]
        if self.windowed:
            return rows
        return rows[0] if rows else None

    def rows_of(
        self,
        key: Any,
        *,
        window_from: datetime | None = None,
        window_to: datetime | None = None,
    ) -> list[tuple[Any, ...]]:
        """What `get` finds, as plain tuples in the order of `columns`."""
        wanted = self._key(key)
        self._check_windows(window_from, window_to)
        with self._lock:
            store = self._store()
            rows = store.rows_of(wanted, window_from=_ms(window_from), window_to=_ms(window_to))
            bound = self._horizon(store)
            schema = list(store.schema)
        at = [schema.index(name) for name in self.columns]
        if bound is not None:
            time, oldest = schema.index(TIME), _EPOCH + bound * _MILLISECOND
            rows = [row for row in rows if row[time] >= oldest]
        found = [tuple([row[i] for i in at]) for row in rows]
        return self._decrypted(found) if self._marks else found

    def scan(
        self,
        *,
        key: Any = None,
        prefix: str | None = None,
        window_from: datetime | None = None,
        window_to: datetime | None = None,
        after: tuple[Any, ...] | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Rows as a frame, ordered by key (and window).

        `prefix` is what text keys begin with; `window_from` and `window_to` bound the starts of
        windows, the end being left out. `after` is the place of a row, its key (and the start of
        its window): only rows behind it are given. Raises VagusError for a question that the
        table can't be asked, ViewNotReady before the view is restored.
        """
        keep = self._kept(key, prefix, window_from, window_to, after)
        return self._plain(self._rows(keep, limit))

    def page(
        self,
        limit: int,
        *,
        key: Any = None,
        prefix: str | None = None,
        window_from: datetime | None = None,
        window_to: datetime | None = None,
        after: tuple[Any, ...] | None = None,
    ) -> tuple[pl.DataFrame, tuple[Any, ...] | None]:
        """Like `scan`, at most `limit` rows, and what `after` is for the rows that follow them.

        The second is None where no more follow.
        """
        keep = self._kept(key, prefix, window_from, window_to, after)
        rows = self._rows(keep, limit + 1)
        more = rows.height > limit
        rows = rows.head(limit)
        place = rows.select(self._place).row(-1) if more else None
        return self._plain(rows), place

    def __len__(self) -> int:
        with self._lock:
            return len(self._store())

    def newest(self) -> datetime | None:
        """The largest event time that the table has seen."""
        with self._lock:
            stamp = self._store().newest_ms
        if stamp < 0:
            return None
        return _EPOCH + timedelta(milliseconds=stamp)

    # What questions are made of

    def _horizon(self, store: Store) -> int | None:
        """The oldest time that a row may have, in ms since 1970."""
        if self._retention_ms is None or store.newest_ms < 0:
            return None
        return store.newest_ms - self._retention_ms

    def _key(self, key: Any) -> Any:
        kind = self.topic.key_kind
        if kind in ("str", "uuid") and isinstance(key, UUID):
            return str(key)
        if not isinstance(key, _KEY_TYPES[kind]) or isinstance(key, bool):
            raise VagusError(
                f"expected a key of type {kind}, got {key!r}",
                where=f"view {self.name!r}",
            )
        return str(key).lower() if kind == "uuid" else key

    def _kept(
        self,
        key: Any,
        prefix: str | None,
        window_from: datetime | None,
        window_to: datetime | None,
        after: tuple[Any, ...] | None,
    ) -> list[pl.Expr]:
        """What rows must be like."""
        self._check_windows(window_from, window_to)
        keep: list[pl.Expr] = []
        if key is not None:
            keep.append(pl.col(KEY) == self._literal(key))
        if prefix is not None:
            if self.topic.key_kind not in ("str", "uuid"):
                raise VagusError(
                    f"expected no prefix: the keys are of type {self.topic.key_kind}",
                    where=f"view {self.name!r}",
                )
            keep.append(pl.col(KEY).str.starts_with(prefix))
        if (start := _ms(window_from)) is not None:
            keep.append(pl.col(WINDOW_START) >= _instant(start))
        if (end := _ms(window_to)) is not None:
            keep.append(pl.col(WINDOW_START) < _instant(end))
        if after is not None:
            keep.append(self._behind(after))
        return keep

    def _rows(self, keep: list[pl.Expr], limit: int | None) -> pl.DataFrame:
        """The first rows that are so, in order."""
        with self._lock:
            store = self._store()
            pieces = store.snapshot()
            horizon = self._horizon(store)
            schema = store.schema
        if horizon is not None:
            keep = [*keep, pl.col(TIME) >= _instant(horizon)]
        parts = [
            frame.filter(*keep, pl.Series(live)) if keep or not live.all() else frame
            for frame, live in pieces
        ]
        rows = pl.concat(parts) if parts else pl.DataFrame(schema=schema)
        if limit is not None and limit < rows.height:
            rows = rows.bottom_k(limit, by=self._place)
        return rows.sort(self._place)

    def _plain(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The columns of rows, personal ones decrypted."""
        return PersonKeys.of(self._hub).open(rows.select(*self.columns), self._marks)

    def _decrypted(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        columns = [
            pl.Series(name, [row[at] for row in rows], pl.Binary)
            for at, name in enumerate(self.columns)
            if name in self._marks
        ]
        opened = PersonKeys.of(self._hub).open(pl.DataFrame(columns), self._marks)
        values = [opened[name].to_list() if name in self._marks else None for name in self.columns]
        return [
            tuple(
                value if column is None else column[number]
                for value, column in zip(row, values, strict=True)
            )
            for number, row in enumerate(rows)
        ]

    def _literal(self, key: Any) -> pl.Expr:
        return pl.lit(self._key(key), dtype=self.topic.key_type)

    def _behind(self, after: tuple[Any, ...]) -> pl.Expr:
        key, *window = after
        behind = pl.col(KEY) > self._literal(key)
        if not window:
            return behind
        self._check_windows(*window)
        start = (window[0] - _EPOCH) // _MILLISECOND
        same = pl.col(KEY) == self._literal(key)
        return behind | (same & (pl.col(WINDOW_START) > _instant(start)))

    def _check_windows(self, *bounds: datetime | None) -> None:
        for bound in bounds:
            if bound is not None and not self.windowed:
                raise VagusError(
                    "expected no bounds of windows: the table has none",
                    where=f"view {self.name!r}",
                )
            if bound is not None and bound.tzinfo is None:
                raise VagusError(
                    f"expected a time with its zone, got {bound.isoformat()}",
                    where=f"view {self.name!r}",
                    hint="datetime(..., tzinfo=timezone.utc)",
                )


def _ms(moment: datetime | None) -> int | None:
    """Milliseconds since 1970, rounded up: what windows that start then or later start at."""
    if moment is None:
        return None
    return -((_EPOCH - moment) // _MILLISECOND)


def _instant(stamp: int) -> pl.Expr:
    """A time, in ms since 1970, to compare with times of rows."""
    return pl.lit(stamp).cast(TIME_TYPE)
