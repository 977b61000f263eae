"""Views: an application's tables, to query."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vagus.errors import VagusError, nearest
from vagus.runtime.replica import Progress, no_progress
from vagus.streams.view import View

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.streams.app import App


class Views:
    """All views of an application, by name.

    A view is restored when it is first asked for. With `live`, views keep themselves up to date,
    each in a thread of its own; without, `refresh` does it.
    """

    def __init__(
        self,
        app: App,
        hub: Hub,
        registry: Registry,
        *,
        live: bool = False,
        progress: Progress = no_progress,
    ) -> None:
        self.hub, self.registry = hub, registry
        self._app = app
        self._live, self._progress = live, progress
        self._views: dict[str, View] = {}
        self._lock = threading.Lock()

    def __getitem__(self, name: str) -> View:
        """The view of a table, restored. Raises VagusError if there is none of that name."""
        view = self._views.get(name)
        if view is None or not view.ready:
            known = list(self._app.tables)
            if name not in known:
                raise VagusError(
                    f"no view {name!r}",
                    where=self._app.name,
                    hint=nearest(name, known) or f"there are {', '.join(known) or 'none'}",
                )
            view = self._view(name)
            if self._live:
                view.follow()
                view.wait_ready()
            else:
                view.open()
        return view

    def __iter__(self) -> Iterator[str]:
        return iter(self._app.tables)

    def __len__(self) -> int:
        return len(self._app.tables)

    def follow_all(self) -> list[View]:
        """Every view, to be restored and kept up to date in the background from now on."""
        views = [self._view(name) for name in self._app.tables]
        for view in views:
            view.follow()
        return views

    def refresh(self) -> bool:
        """Take in what is new in the views that are in use; whether there was anything.

        Nothing is to be done where they are `live`.
        """
        if self._live:
            return False
        with self._lock:
            views = [view for view in self._views.values() if view.ready]
        return sum(view.refresh() for view in views) > 0

    def close(self) -> None:
        """Stop reading."""
        with self._lock:
            views = list(self._views.values())
        for view in views:
            view.close()

    def _view(self, name: str) -> View:
        with self._lock:
            if name not in self._views:
                topic = self._app.tables[name]
                self._views[name] = View(topic, self.hub, self.registry, progress=self._progress)
            return self._views[name]


@contextmanager
def showing(app: App, hub: Hub, registry: Registry) -> Iterator[None]:
    """Have an application's tables answer while something else is done."""
    views = Views(app, hub, registry, live=True)
    app.show_views(views)
    try:
        yield
    finally:
        app.show_views(None)
        views.close()
