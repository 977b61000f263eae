"""A view: one table of an application, to query.

It is a replica of a table's topic. It holds committed rows only, of all partitions, in whatever
process asks; it is up to date to within the time that events take to arrive.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl

from vagus.errors import OffsetOutOfRange, TopicExists, UnknownTopic, VagusError
from vagus.events.cipher import plain_type
from vagus.hub.personkeys import PersonKeys
from vagus.runtime.frame import KEY, TIME, TIME_TYPE
from vagus.runtime.metrics import Metrics
from vagus.runtime.replica import Progress, Replica, no_progress
from vagus.runtime.topic import WINDOW_START

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic

log = logging.getLogger("vagus")

_FETCH_RECORDS = 8_192  # questions wait while rows are taken in: a few milliseconds at most
_WAIT_S = 30.0
_LOOK_AGAIN_S = 0.1  # for a topic that is gone
_TRY_AGAIN_S = 1.0  # after an error
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_KEY_TYPES: dict[str, type] = {"str": str, "int": int, "uuid": str, "bytes": bytes}


class ViewNotReady(VagusError):
    """The view is still being restored, or its hub can't be read just now."""


class View:
    """One table. Safe to use from several threads.

    `columns` are those of a row. It is made by `Views`, and holds nothing before `open`.
    """

    def __init__(
        self, topic: Topic, hub: Hub, registry: Registry, *, progress: Progress = no_progress
    ) -> None:
        self.name = topic.name
        self.topic = topic
        self.columns: dict[str, pl.DataType] = dict(topic.columns)
        if topic.key not in self.columns:
            self.columns = {KEY: topic.key_type, **self.columns}
        if topic.windowed:
            self.columns.setdefault(WINDOW_START, TIME_TYPE)
        self._marks = topic.marks
        for name, mark in self._marks.items():
            self.columns[name] = plain_type(mark)
        self._place = [KEY, WINDOW_START] if topic.windowed else [KEY]
        self._hub, self._registry, self._progress = hub, registry, progress
        self._metrics = Metrics()
        self._replica: Replica | None = None
        self._known = False  # whether the topic was there once
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._opened = threading.Condition()
        self._error: Exception | None = None
        self._closed = threading.Event()
        retention_s = topic.config.retention_s
        self._retention_ms = None if retention_s is None else int(retention_s * 1000)

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

    @property
    def unreadable(self) -> int:
        """How many records of the topic could not be read, and are left out."""
        return self._metrics.count("table_records_unreadable")

    # Keeping up

    @property
    def ready(self) -> bool:
        """Whether the view is restored and keeps up."""
        return self._replica is not None and self._error is None

    @property
    def error(self) -> Exception | None:
        """What keeps the view from keeping up, if anything does."""
        return self._error

    def open(self) -> None:
        """Restore the view, if it isn't yet. A topic that nobody has written to yet is created."""
        with self._opened:
            if not self._known and self.name not in self._hub.topics():
                with suppress(TopicExists):  # somebody else was faster
                    self._hub.create_topic(self.name, self.topic.config)
            self._known = True
            if self._replica is None:
                self._replica = self._restored()
                self._opened.notify_all()

    def refresh(self, *, wait_s: float = 0.0) -> bool:
        """Take in what is new, waiting up to `wait_s` for it; whether there was anything.

        For one thread at a time.
        """
        replica = self._replica
        if replica is None:
            raise self._not_ready()
        changes = replica.fetch(wait_s=wait_s, max_records=_FETCH_RECORDS)
        if changes:
            with self._lock:
                for rows in changes:
                    replica.store.load(rows)
        return bool(changes)

    def follow(self) -> None:
        """Open the view and keep it up to date, in a thread of its own, until `close`."""
        if self._thread is None:
            name = f"vagus-view-{self.name}"
            self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
            self._thread.start()

    def wait_ready(self, timeout_s: float | None = None) -> None:
        """Wait until the view is restored. Raises what keeps it from that, or ViewNotReady."""
        with self._opened:
            self._opened.wait_for(
                lambda: self._replica is not None or self._error is not None, timeout_s
            )
        if self._error is not None:
            raise self._error
        if self._replica is None:
            raise self._not_ready()

    def close(self) -> None:
        """Stop reading. What was read can still be asked for."""
        self._closed.set()
        if self._replica is not None:
            self._replica.wakeup()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._replica is not None:
            self._replica.close()

    def _follow(self) -> None:
        while not self._closed.is_set():
            try:
                self.open()
                self._error = None
                self.refresh(wait_s=_WAIT_S)
            except _Closing:
                return
            except (OffsetOutOfRange, UnknownTopic):
                # The topic was emptied, deleted or made anew under us; so is the view.
                replica, self._replica = self._replica, None
                if replica is not None:
                    replica.close()
                self._closed.wait(_LOOK_AGAIN_S)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever it was
                if not self._closed.is_set():
                    self._failed(error)
                    self._closed.wait(_TRY_AGAIN_S)

    def _failed(self, error: Exception) -> None:
        if str(error) != str(self._error):
            known = isinstance(error, VagusError)
            log.warning("view %s: %s", self.name, error, exc_info=None if known else error)
        with self._opened:
            self._error = error
            self._opened.notify_all()

    def _restored(self) -> Replica:
        def told(what: str, done: int, total: int) -> None:
            if self._closed.is_set():
                raise _Closing
            self._progress(what, done, total)

        return Replica(
            self._hub,
            self.topic,
            self._registry,
            metrics=self._metrics,
            progress=told,
            retention_ms=self._retention_ms,
        )

    # What questions are made of

    def _store(self) -> Store:
        if self._replica is None:
            raise self._not_ready()
        return self._replica.store

    def _not_ready(self) -> ViewNotReady:
        return ViewNotReady(
            f"view {self.name!r} is not restored yet",
            hint="ask again in a moment" if self._error is None else str(self._error),
        )

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


class _Closing(BaseException):
    """The view was closed while it was restored."""


def _ms(moment: datetime | None) -> int | None:
    """Milliseconds since 1970, rounded up: what windows that start then or later start at."""
    if moment is None:
        return None
    return -((_EPOCH - moment) // _MILLISECOND)


def _instant(stamp: int) -> pl.Expr:
    """A time, in ms since 1970, to compare with times of rows."""
    return pl.lit(stamp).cast(TIME_TYPE)
