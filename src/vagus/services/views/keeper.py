"""The keeper of one view: decides which generation is built, and puts a new one in its place."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from vagus.errors import VagusError
from vagus.services.views.builder import Builder, Outdated, Surroundings, stopped
from vagus.services.views.errors import ViewNotBuilt, ViewStopped
from vagus.services.views.feed import partitions_of, start_of
from vagus.services.views.table import Generation, Table, drop

if TYPE_CHECKING:
    import sqlite3

    from vagus.services.views.declare import ViewType
    from vagus.services.views.file import ViewFile

__all__ = ["Keeper", "Progress", "answering", "stop_of"]

log = logging.getLogger("vagus")

_WAIT_S = 1.0
_TRY_AGAIN_S = 0.5
_LOOK_S = 5.0  # how often for new partitions

Progress = Callable[[int, int], None]
"""Told of a rebuild: how many offsets are done, and how many there are."""


def _nobody(_done: int, _total: int) -> None:
    """Tell nobody."""


class Keeper:
    """Keeps one view up to date. Only the holder of the file's lock makes any."""

    def __init__(self, view: ViewType, file: ViewFile, around: Surroundings) -> None:
        self.view = view
        self.error: Exception | None = None  # what keeps it from keeping up
        self.rebuild_error: Exception | None = None
        self._file, self._around = file, around
        self._live: Builder | None = None
        self._turn = threading.Lock()  # held while the live generation changes
        self._rebuilding: threading.Thread | None = None
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._kick = threading.Event()

    # In threads of its own

    def follow(self) -> None:
        """Keep the view up to date until `close`."""
        name = f"vagus-view-{self.view.name}"
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop. What is not committed is forgotten."""
        self._closed.set()
        self._kick.set()
        live = self._live
        if live is not None:
            with suppress(VagusError):
                live.wakeup()
        for thread in (self._thread, self._rebuilding):
            if thread is not None and thread is not threading.current_thread():
                thread.join()
        if self._live is not None:
            self._live.close()
            self._live = None

    def _follow(self) -> None:
        waited_s = 0.0
        while not self._closed.is_set():
            try:
                if self._live is None:
                    self.open()
                self._heed()
                busy = self._step(_WAIT_S)
                waited_s = 0.0 if busy else waited_s + _WAIT_S
                if waited_s >= _LOOK_S:
                    waited_s = 0.0
                    self._look_for_partitions()
                self.error = None
            except ViewStopped as error:
                self._failed(error)
                self._let_go()
                self._wait_for_change()
            except Outdated:
                self._let_go()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever it was
                if not self._closed.is_set():
                    self._failed(error)
                    self._let_go()
                    self._closed.wait(_TRY_AGAIN_S)

    def _step(self, wait_s: float) -> bool:
        live = self._live
        if live is None:
            self._kick.wait(min(wait_s, _TRY_AGAIN_S))
            return False
        given = live.take(wait_s=wait_s)
        with self._turn:
            if self._live is not live:  # a rebuild has taken its place meanwhile
                live.close()
                return True
            live.process(given)
        return given is not None

    def _wait_for_change(self) -> None:
        """A view that has stopped goes on only if somebody asks for a rebuild."""
        while not self._closed.wait(_TRY_AGAIN_S) and self.error is not None:
            with suppress(Exception):
                self._heed()
            if self._live is not None:
                return

    def _failed(self, error: Exception) -> None:
        if str(error) != str(self.error):
            known = isinstance(error, VagusError)
            log.warning("view %s: %s", self.view.name, error, exc_info=None if known else error)
        self.error = error
        self._file.pulse.beat()

    def _let_go(self) -> None:
        with self._turn:
            if self._live is not None:
                self._live.close()
                self._live = None

    # One thing at a time

    def open(self, *, background: bool = True) -> None:
        """Go on with the generation that answers, if it is of this version; else build one.

        With `background` a build goes on in a thread, beside what answers meanwhile.
        """
        with self._file.reading() as db:
            live = Generation.live_of(db, self.view.name, self._file.hub)
        if live is not None and self._is_ours(live):
            self._take_up(live)
            return
        if live is not None and live.version > self.view.version:
            raise VagusError(
                f"view {self.view.name!r} was built by a newer program: its version is "
                f"{live.version}, here it is {self.view.version}",
                where=self._file.path,
                hint="run the newer program; or rebuild the view as it is here with "
                "`vagus view rebuild`",
            )
        if background:
            self._rebuild_in_background()
        else:
            self.rebuild()

    def refresh(self) -> bool:
        """Take in what is new, in this thread; whether there was anything."""
        if self._live is None and isinstance(self.error, ViewStopped):
            return False
        any_new = False
        try:
            if self._live is None:
                self.open(background=False)
            live = self._live
            assert live is not None
            for given in live.rest():
                live.process(given)
                any_new = any_new or given is not None
            live.process(None)
        except ViewStopped as error:
            self.error = error
            self._let_go()
        return any_new

    def rebuild(self, progress: Progress = _nobody, *, anew: bool = False) -> None:
        """Build a generation beside the one that answers, and put it in its place.

        One that was begun before is gone on with, unless it is to be `anew`. Raises ViewStopped
        at an event that can't be processed; then the old one goes on answering.
        """
        builder = Builder(self.view, self._file, self._begun(anew=anew), self._around)
        try:
            self._catch_up(builder, progress)
            builder.finish()
            self._catch_up(builder, progress)
            with self._turn:
                self._catch_up(builder, progress)
                self._swap(builder)
        except BaseException:
            builder.close()
            raise
        self.rebuild_error = None

    def _catch_up(self, builder: Builder, progress: Progress) -> None:
        progress(*builder.tell())
        for given in builder.rest(bulk=True):
            if self._closed.is_set():
                raise Outdated
            builder.process(given)
            progress(*builder.tell())
        builder.process(None)

    def _swap(self, builder: Builder) -> None:
        number = builder.generation.id
        with self._file.writing() as db:
            known = Generation.all(db, self.view.name, self._file.hub)
            old = [g for g in known if g.id != number]
            db.execute("UPDATE generation SET live = 0 WHERE view = ?", (self.view.name,))
            db.execute("UPDATE generation SET live = 1, error = NULL WHERE id = ?", (number,))
            db.execute("DELETE FROM request WHERE view = ?", (self.view.name,))
        builder.finished = True
        before, self._live = self._live, builder
        self._kick.set()
        self.error = None
        if before is not None:
            with suppress(VagusError):
                before.wakeup()  # its thread closes it
            if self._thread is None:
                before.close()
        for generation in old:
            with self._file.writing(quiet=True) as db:
                drop(db, generation)

    def _begun(self, *, anew: bool) -> Generation:
        """The generation that is being built, from where it got to, or a new one."""
        start = start_of(self.view, self._around.hub)
        name, hub = self.view.name, self._file.hub
        self._drop_foreign()
        with self._file.writing(quiet=True) as db:
            for known in Generation.all(db, name, hub):
                if known.live:
                    continue
                if self._is_ours(known) and not anew:
                    db.execute("UPDATE generation SET error = NULL WHERE id = ?", (known.id,))
                    return known
                drop(db, known)
            shape = json.dumps(self.view.form.shape)
            made = db.execute(
                "INSERT INTO generation (view, version, digest, shape, hub) VALUES (?, ?, ?, ?, ?)",
                (name, self.view.version, self.view.digest, shape, hub),
            ).lastrowid
            assert made is not None
            Table(self.view, made).create(db)
            db.executemany(
                "INSERT INTO position VALUES (?, ?, ?, ?)",
                [(made, *partition, at) for partition, at in start.items()],
            )
            return next(g for g in Generation.all(db, name, hub) if g.id == made)

    def _drop_foreign(self) -> None:
        """Drop what was built from another hub, whose offsets mean nothing here."""
        with self._file.writing(quiet=True) as db:
            foreign = Generation.foreign(db, self.view.name, self._file.hub)
            for generation in foreign:
                drop(db, generation)
        if foreign:
            log.warning(
                "view %s: what %s held of it was built from another hub; it is dropped, and built "
                "from the events of %s",
                self.view.name,
                self._file.path,
                self._around.hub.url,
            )

    def _take_up(self, live: Generation) -> None:
        """Go on with a generation; where it stopped at an event, that is tried again."""
        self._add_partitions(live)
        if live.error is not None:
            with self._file.writing(quiet=True) as db:
                db.execute("UPDATE generation SET error = NULL WHERE id = ?", (live.id,))
        self._live = Builder(self.view, self._file, live, self._around)

    def _look_for_partitions(self) -> None:
        with self._file.reading() as db:
            live = Generation.live_of(db, self.view.name, self._file.hub)
        if live is None or self._live is None or self._add_partitions(live):
            raise Outdated

    def _add_partitions(self, live: Generation) -> bool:
        """Read partitions that have come to a topic from their beginning; whether there were."""
        found = partitions_of(self.view, self._around.hub)
        with self._file.reading() as db:
            known = db.execute(
                "SELECT topic, partition FROM position WHERE generation = ?", (live.id,)
            ).fetchall()
        new = [tp for tp in found if tuple(tp) not in set(known)]
        if not new:
            return False
        starts = self._around.hub.offsets(new, "earliest")
        with self._file.writing(quiet=True) as db:
            db.executemany(
                "INSERT OR IGNORE INTO position VALUES (?, ?, ?, ?)",
                [(live.id, *partition, at) for partition, at in starts.items()],
            )
        return True

    # Rebuilds

    def _heed(self) -> None:
        """Do what another process asked for."""
        with self._file.reading() as db:
            asked = db.execute(
                "SELECT digest FROM request WHERE view = ? AND refused IS NULL", (self.view.name,)
            ).fetchone()
        if asked is None or self._is_rebuilding():
            return
        wanted = request_mark(self.view, self._file.hub)
        if asked[0] != wanted:
            refused = (
                "the service that is running has another version of this view, or has opened "
                "another hub, such as one that was deleted since: restart it"
            )
            with self._file.writing() as db:
                db.execute(
                    "UPDATE request SET refused = ? WHERE view = ?", (refused, self.view.name)
                )
            return
        self._rebuild_in_background(anew=True)

    def _is_rebuilding(self) -> bool:
        return self._rebuilding is not None and self._rebuilding.is_alive()

    def _rebuild_in_background(self, *, anew: bool = False) -> None:
        if self._is_rebuilding() or (isinstance(self.rebuild_error, ViewStopped) and not anew):
            return
        name = f"vagus-rebuild-{self.view.name}"
        thread = threading.Thread(target=self._rebuild, args=(anew,), name=name, daemon=True)
        self._rebuilding = thread
        thread.start()

    def _rebuild(self, anew: bool) -> None:
        try:
            self.rebuild(anew=anew)
        except Outdated:
            return
        except Exception as error:
            if self._closed.is_set():
                return
            known = isinstance(error, VagusError)
            log.warning("view %s: %s", self.view.name, error, exc_info=None if known else error)
            self.rebuild_error = error
            with suppress(Exception), self._file.writing() as db:
                db.execute(
                    "UPDATE request SET refused = ? WHERE view = ?", (str(error), self.view.name)
                )

    def _is_ours(self, generation: Generation) -> bool:
        return (generation.version, generation.digest) == (self.view.version, self.view.digest)


def request_mark(view: ViewType, hub: str) -> str:
    """What tells whether two programs mean the same view of the same hub."""
    return f"{view.version}:{view.digest}:{hub}"


def stop_of(generation: Generation) -> ViewStopped | None:
    """Where a generation stopped, if it did."""
    if generation.error is None:
        return None
    return stopped(generation.view, generation.error, rebuild=not generation.live)


def answering(db: sqlite3.Connection, view: str, hub: str) -> Generation:
    """The generation of a view that answers on a hub. Raises ViewNotBuilt, ViewStopped."""
    live = Generation.live_of(db, view, hub)
    if live is None:
        for begun in Generation.all(db, view, hub):
            if (stop := stop_of(begun)) is not None:
                raise stop
            share = f" ({begun.done:,} of {begun.total:,} events)" if begun.total else ""
            raise ViewNotBuilt(f"view {view!r} is being built{share}", hint="ask again in a moment")
        if Generation.foreign(db, view, hub):
            raise ViewNotBuilt(
                f"view {view!r} was built from another hub, and is not built from this one yet",
                hint="it is as soon as its service runs; one that runs since before this hub was "
                "made is to be restarted",
            )
        raise ViewNotBuilt(
            f"view {view!r} is not built yet",
            hint="it is as soon as its service runs",
        )
    if (stop := stop_of(live)) is not None:
        raise stop
    return live
