"""All views of a service: kept up to date by one process, queried in any."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import VagusError
from vagus.hub.contract import Closing
from vagus.hub.schemas import HubRegistry
from vagus.runtime.intake import by_time
from vagus.services.views.builder import Surroundings
from vagus.services.views.declare import ViewDeclarations
from vagus.services.views.errors import UnknownView
from vagus.services.views.file import MEMORY, ViewFile
from vagus.services.views.keeper import Keeper, Progress, request_mark
from vagus.services.views.lock import BuilderLock
from vagus.services.views.table import Generation
from vagus.services.views.view import ServiceView

if TYPE_CHECKING:
    import sqlite3

    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.intake import Rank
    from vagus.services.views.declare import ViewType
    from vagus.streams import App

__all__ = ["Queries", "file_of", "following", "queries_of"]

_LOOK_S = 0.2  # for a lock that is free again
_LOOK_BUSY_S = 0.005  # for commits of another process that somebody waits for


class Queries(Closing):
    """The views of a service, by name.

    They live in one SQLite file unless `path` names another: `{service}-views.db` beside the hub;
    for Kafka `{service}-views-{id}.db` in the folder at hand, with the id of the cluster. What was
    built from another hub, by its `id`, isn't shown, and is built again by `follow` or `refresh`.
    `follow` keeps them up to date; where several processes do so one of them builds, and another
    takes over when it ends. Any process that has opened them can query.

    >>> import vagus as vg
    >>> class Paid(vg.Event):
    ...     account: str
    ...     cents: int
    >>> class Balance(vg.Row):
    ...     account: str
    ...     cents: int
    >>> bank = vg.Service("bank")
    >>> paid = bank.topic("paid", Paid, key="account")
    >>> @bank.view("balance", Balance, key="account", of=paid)
    ... def balance(event, rows):
    ...     known = rows.get(event.account)
    ...     before = known.cents if known else 0
    ...     rows.put(Balance(account=event.account, cents=before + event.cents))
    >>> with vg.testing.Harness(bank) as h:
    ...     h.send(paid, [Paid(account="a", cents=5), Paid(account="a", cents=2)])
    ...     bank.queries["balance"].get("a")
    Balance(account='a', cents=7)
    """

    def __init__(
        self,
        service: App,
        hub: Hub,
        *,
        registry: Registry | None = None,
        path: str | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        rank: Rank | None = None,
    ) -> None:
        self.service = service
        self.types: dict[str, ViewType] = (
            service.declared_views if isinstance(service, ViewDeclarations) else {}
        )
        self.path = path or file_of(service.name, hub)
        self._file = ViewFile(self.path, service.name, hub.id)
        around = Surroundings(
            hub,
            registry or HubRegistry(hub),
            service.policy.retry,
            rank or by_time,
            sleep,
        )
        self._views = {
            name: ServiceView(view, self._file, hub, clock) for name, view in self.types.items()
        }
        self._keepers = {
            name: Keeper(view, self._file, around) for name, view in self.types.items()
        }
        self._lock = BuilderLock(None if self._file.in_memory else self.path + "-lock")
        self._closed = threading.Event()
        self._hung_up = threading.Event()
        self._thread: threading.Thread | None = None

    def __getitem__(self, name: str) -> ServiceView:
        """The view of that name. Raises UnknownView."""
        if name not in self._views:
            raise UnknownView(name, self._views, service=self.service.name)
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def values(self) -> list[ServiceView]:
        """All views."""
        return list(self._views.values())

    async def changed(self, view: ServiceView, since: str, timeout_s: float) -> bool:
        """Wait until a view changed since a place, or all streams are to end."""
        if self._hung_up.is_set():
            return True
        return await view.changed(since, timeout_s, self._hung_up.is_set)

    @property
    def hung_up(self) -> bool:
        """Whether streams of changes are to end."""
        return self._hung_up.is_set()

    def hang_up(self) -> None:
        """Have streams of changes end."""
        self._hung_up.set()
        self._file.pulse.beat()

    # Keeping up

    @property
    def builds(self) -> bool:
        """Whether it is this process that builds the views."""
        return self._lock.held

    def follow(self) -> None:
        """Keep the views up to date until `close`, or see another process do so."""
        if self._thread is None and self._views:
            self._thread = threading.Thread(
                target=self._watch, name=f"vagus-views-{self.service.name}", daemon=True
            )
            self._thread.start()

    def wait_ready(self, timeout_s: float = 30.0) -> None:
        """Wait until all views answer. Raises what keeps one from it, or ViewNotBuilt."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._file.pulse.count
            if all(view.ready for view in self._views.values()):
                return
            left = deadline - time.monotonic()
            if left <= 0 or self.errors():
                for name, view in self._views.items():
                    if not view.ready:
                        error = self.errors().get(name)
                        if error is not None:
                            raise error
                        len(view)  # says what is wrong
                return
            self._file.pulse.wait(seen, min(left, 0.1))

    def errors(self) -> dict[str, Exception]:
        """What keeps views from keeping up, or from being rebuilt, by view."""
        found = {}
        for name, keeper in self._keepers.items():
            error = keeper.error or keeper.rebuild_error
            if error is not None:
                found[name] = error
        return found

    def refresh(self) -> bool:
        """Take in what is new, in this thread; whether there was anything. Not beside `follow`."""
        if not self._lock.take():
            return False
        return sum(keeper.refresh() for keeper in self._keepers.values()) > 0

    def rebuild(self, name: str, progress: Progress = lambda done, total: None) -> None:
        """Build a view anew beside the one that answers, and put it in its place.

        Where another process builds the views it is asked to do so. Raises UnknownView,
        ViewStopped at an event that can't be processed, VagusError if the other process refuses.
        """
        view = self[name]
        if self._thread is None and self._lock.take():
            try:
                self._keepers[name].rebuild(progress, anew=True)
            finally:
                self._lock.release()
            return
        before = self._generation(name)
        with self._file.writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO request VALUES (?, ?, NULL)",
                (name, request_mark(view.type, self._file.hub)),
            )
        while not self._closed.is_set():
            with self._file.reading() as db:
                asked = db.execute("SELECT refused FROM request WHERE view = ?", (name,)).fetchone()
                begun = [g for g in Generation.all(db, name, self._file.hub) if not g.live]
            if asked is None and self._generation(name) != before:
                return
            if asked is not None and asked[0] is not None:
                with self._file.writing() as db:
                    db.execute("DELETE FROM request WHERE view = ?", (name,))
                raise VagusError(asked[0], where=f"view {name!r}")
            if self._thread is None and self._lock.take():  # whoever was asked has ended
                try:
                    self._keepers[name].rebuild(progress, anew=True)
                finally:
                    self._lock.release()
                return
            for generation in begun:
                progress(generation.done, generation.total)
            self._closed.wait(_LOOK_S)

    def close(self) -> None:
        """Stop. What is in the file stays there."""
        self._hung_up.set()
        self._closed.set()
        self._file.pulse.beat()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for keeper in self._keepers.values():
            keeper.close()
        self._lock.release()
        self._file.close()
        if isinstance(self.service, ViewDeclarations):
            self.service.hide_queries(self)

    def _generation(self, name: str) -> int | None:
        with self._file.reading() as db:
            live = Generation.live_of(db, name, self._file.hub)
        return None if live is None else live.id

    def _watch(self) -> None:
        """Begin to build as soon as nobody else does; hear of others' commits until then."""
        watcher: sqlite3.Connection | None = None
        try:
            version = -1
            next_try_s = 0.0
            while not self._closed.is_set():
                now_s = time.monotonic()
                if now_s >= next_try_s:
                    next_try_s = now_s + _LOOK_S
                    if self._lock.take():
                        for keeper in self._keepers.values():
                            keeper.follow()
                        return
                if watcher is None:
                    watcher = self._file.watcher()
                found = watcher.execute("PRAGMA data_version").fetchone()[0]
                if found != version:
                    version = found
                    self._file.pulse.beat()
                waited_for = self._file.pulse.waited_for
                self._closed.wait(_LOOK_BUSY_S if waited_for else _LOOK_S)
        finally:
            if watcher is not None:
                watcher.close()


def file_of(service: str, hub: Hub) -> str:
    """Where a service's views are kept: beside its hub; in memory, if that is.

    Those of a cluster are in the folder at hand, and bear its id, so that those of two clusters
    don't take turns in one file.
    """
    if hub.url == MEMORY:
        return MEMORY
    if "://" in hub.url:
        return f"{service}-views-{hub.id}.db"
    return str(Path(hub.url).parent / f"{service}-views.db")


def queries_of(app: App, hub: Hub, registry: Registry) -> Queries | None:
    """The views of a service, opened; None if it has none."""
    if not isinstance(app, ViewDeclarations) or not app.declared_views:
        return None
    opened = Queries(app, hub, registry=registry)
    app.show_queries(opened)
    return opened


@contextmanager
def following(app: App, hub: Hub, registry: Registry) -> Iterator[Queries | None]:
    """Keep the views of a service up to date, if it has some, while something else is done."""
    queries = queries_of(app, hub, registry)
    if queries is None:
        yield None
        return
    with queries:
        queries.follow()
        yield queries
