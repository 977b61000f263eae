"""Views: an application's tables, to query.

A view is a replica of a table's topic. It holds committed rows only, of all partitions, in
whatever process asks; it is up to date to within the time that events take to arrive.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import VagusError, nearest
from vagus.runtime.frame import KEY, TIME, TIME_TYPE
from vagus.runtime.replica import Progress, Replica, no_progress
from vagus.runtime.store import FOUND
from vagus.runtime.topic import WINDOW_START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.topic import Topic
    from vagus.streams.app import App


class View:
    """One table. Safe to use from several threads."""

    def __init__(self, topic: Topic, replica: Replica) -> None:
        self.name = topic.name
        self.topic = topic
        self._replica = replica
        self._lock = threading.Lock()
        self._columns = list(topic.columns)

    @property
    def windowed(self) -> bool:
        """Whether rows are found by key and window."""
        return self.topic.windowed

    def get(self, key: Any) -> dict[str, Any] | list[dict[str, Any]] | None:
        """The row of a key, or None; of a windowed table the rows of its windows, oldest first."""
        if self.windowed:
            return self.scan(key=key).to_dicts()
        place = pl.DataFrame({KEY: [key]}, schema={KEY: self.topic.key_type})
        with self._lock:
            found = self._replica.store.lookup(place)
        rows = found.filter(FOUND).select(self._columns).to_dicts()
        return rows[0] if rows else None

    def scan(
        self,
        *,
        key: Any = None,
        prefix: str | None = None,
        window_from: datetime | None = None,
        window_to: datetime | None = None,
        limit: int | None = None,
    ) -> pl.DataFrame:
        """Rows as a frame, ordered by key (and window).

        `prefix` is what text keys begin with; `window_from` and `window_to` bound the starts of
        windows, the end being left out.
        """
        with self._lock:
            rows = self._replica.store.rows()
        if key is not None:
            rows = rows.filter(pl.col(KEY) == pl.lit(key, dtype=self.topic.key_type))
        if prefix is not None:
            rows = rows.filter(pl.col(KEY).cast(pl.String).str.starts_with(prefix))
        for bound, keep in ((window_from, pl.Expr.ge), (window_to, pl.Expr.lt)):
            if bound is not None:
                rows = rows.filter(keep(pl.col(WINDOW_START), pl.lit(bound).cast(TIME_TYPE)))
        order = [KEY, WINDOW_START] if self.windowed else [KEY]
        rows = rows.sort(order)
        return (rows if limit is None else rows.head(limit)).select(self._columns)

    def __len__(self) -> int:
        with self._lock:
            return len(self._replica.store)

    def newest(self) -> datetime | None:
        """The largest event time among the rows."""
        with self._lock:
            stamp = self._replica.store.newest_ms
        if stamp < 0:
            return None
        moment: datetime = pl.Series(TIME, [stamp]).cast(TIME_TYPE)[0]
        return moment

    def refresh(self) -> bool:
        """Take in what is new; whether there was anything."""
        with self._lock:
            return self._replica.refresh()

    def close(self) -> None:
        """Stop reading."""
        self._replica.close()


class Views:
    """All views of an application, by name. Tables whose topic is not there yet are left out."""

    def __init__(
        self, app: App, hub: Hub, registry: Registry, *, progress: Progress = no_progress
    ) -> None:
        self._app, self._hub, self._registry = app, hub, registry
        self._progress = progress
        self._views: dict[str, View] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> View:
        with self._lock:
            if name in self._views:
                return self._views[name]
            topic = self._app.tables.get(name)
            if topic is None or name not in self._hub.topics():
                known = [n for n in self._app.tables if n in self._hub.topics()]
                raise VagusError(
                    f"no view {name!r}",
                    where=self._app.name,
                    hint=nearest(name, known) or f"there are {', '.join(known) or 'none'}",
                )
            replica = Replica(self._hub, topic, self._registry, progress=self._progress)
            view = self._views[name] = View(topic, replica)
            return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._app.tables)

    def __len__(self) -> int:
        return len(self._app.tables)

    def refresh(self) -> bool:
        """Take in what is new in the views that are in use; whether there was anything."""
        with self._lock:
            views = list(self._views.values())
        return any([view.refresh() for view in views])

    def close(self) -> None:
        """Stop reading."""
        for view in self._views.values():
            view.close()
