"""A view, to query: rows by key, filter, sort and page, and what changes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from vagus.hub.personkeys import PersonKeys
from vagus.services.views.errors import BadQuestion, ViewNotBuilt
from vagus.services.views.file import quoted
from vagus.services.views.keeper import answering, stop_of
from vagus.services.views.question import LIMIT, Question, conditions_of
from vagus.services.views.reach import Reach
from vagus.services.views.table import Generation, table_name

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.services.token import Token
    from vagus.services.views.declare import ViewType
    from vagus.services.views.file import ViewFile
    from vagus.services.views.row import Row

__all__ = ["Change", "Changes", "Page", "ServiceView"]

WAIT_S = 5.0


class Page(list[Any]):
    """Rows of a view. `next` is what `after` is for those that follow, None where none do."""

    next: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A row that came or changed, or, where `row` is None, the key of one that is gone."""

    key: Any
    row: Row | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed since a place, in order. `place` is where to go on.

    Where `restart` is true the place is none of this build of the view (or too much was deleted
    since): all rows follow from the beginning, and what was known before is to be forgotten.
    """

    changes: list[Change]
    place: str
    restart: bool


@dataclass(frozen=True, slots=True)
class Status:
    """How a view is: what answers, how far it is, what is being built."""

    version: int | None
    rows: int | None
    error: str | None
    building: tuple[int, int] | None


class ServiceView:
    """One view. Safe to use from several threads, and in processes that don't build it."""

    def __init__(
        self, view: ViewType, file: ViewFile, hub: Hub, clock: Callable[[], float] = time.time
    ) -> None:
        self.type = view
        self.name = view.name
        self._file, self._hub = file, hub
        self._far = Reach(view, file, hub, clock)
        self._form, self.key = view.form, view.form.columns[view.key]

    # Questions

    def get(self, key: Any, *, token: Token | str | None = None, wait_s: float = WAIT_S) -> Any:
        """The row of a key, or None.

        With a token, it is as of then or later; waits for that, at most `wait_s`. Raises
        BadQuestion for a key of another type, ViewBehind, ViewNotBuilt, ViewStopped.
        """
        self._reach(token, wait_s)
        wanted = self.key.stored(self.key_of(key))
        with self._file.reading() as db:
            live = answering(db, self.name, self._file.hub)
            rows = quoted(table_name(self.name, live.id))
            stored = self._select(
                db, f"SELECT {{}} FROM {rows} WHERE {quoted(self.type.key)} = ?", [wanted], live
            )
        return self._made(stored, live)[0] if stored else None

    def find(
        self,
        *,
        sort: str | Sequence[str] | None = None,
        search: str | None = None,
        limit: int = LIMIT,
        after: str | None = None,
        token: Token | str | None = None,
        wait_s: float = WAIT_S,
        **filters: Any,
    ) -> Page:
        """Rows that fit all filters, at most `limit`.

        `customer_id=7` asks for a value, a list for any of its values, `total_from=5` for that or
        more, `total_to=9` for less. `sort` names fields, with `-` before one that falls; rows are
        ordered by key otherwise. `search` is words that must all be found in the view's texts,
        the beginning of one if it ends in `*`. `after` is the `next` of the page before. Raises
        UnknownField, BadQuestion, ViewBehind, ViewNotBuilt, ViewStopped.
        """
        question = Question.of(
            self.type, filters, sort=sort, search=search, limit=limit, after=after
        )
        self._reach(token, wait_s)
        with self._file.reading() as db:
            live = answering(db, self.name, self._file.hub)
            name = table_name(self.name, live.id)
            self._check_asked(live, question.fields, search=search is not None)
            sql, values = question.sql(quoted(name), "{}", quoted(f"{name} words"))
            stored = self._select(db, sql, values, live)
        page = Page(self._made(stored[: question.limit], live))
        if len(stored) > question.limit:
            last = dict(zip(live.columns, stored[question.limit - 1], strict=False))
            page.next = question.place_of(last)
        return page

    def __len__(self) -> int:
        with self._file.reading() as db:
            live = answering(db, self.name, self._file.hub)
            rows = quoted(table_name(self.name, live.id))
            count: int = db.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]
        return count

    def key_of(self, key: Any) -> Any:
        """A key of the right type. Raises BadQuestion."""
        try:
            return self.key.valid(key)
        except ValueError as error:
            raise BadQuestion(
                f"expected {error} as key, got {key!r}", where=f"view {self.name!r}"
            ) from None

    # Changes

    def changes(self, since: str | None = None, *, limit: int = 1000, **filters: Any) -> Changes:
        """What changed since a place that was given before; without one, where now is.

        `since=""` is the beginning: all rows. A row that doesn't fit the filters, and may have
        done so before, comes as if it were gone. Raises what `find` raises.
        """
        conditions = conditions_of(self.name, self.type.form, filters)
        with self._file.reading() as db:
            live = answering(db, self.name, self._file.hub)
            if since is None:
                return Changes([], f"{live.id}-{live.seq}", False)
            generation, seq = _parsed(since, self.name)
            restart = generation != live.id or seq < live.gone_from
            if since == "":
                restart = False
            if restart or since == "":
                seq = 0
            name = table_name(self.name, live.id)
            self._check_asked(live, {condition.field for condition in conditions}, search=False)
            # One commit's changes stay together, so that a place lies between commits.
            key = quoted(self.type.key)
            fits = " AND ".join(condition.sql for condition in conditions) or "1"
            values = [value for condition in conditions for value in condition.values]
            last = db.execute(
                f"SELECT max(seq) FROM (SELECT _seq AS seq FROM {quoted(name)} WHERE _seq > ? "
                f"UNION ALL SELECT seq FROM {quoted(f'{name} gone')} WHERE seq > ? "
                "ORDER BY seq LIMIT ?)",
                (seq, seq, limit),
            ).fetchone()[0]
            if last is None:
                return Changes([], f"{live.id}-{live.seq}", restart)
            stored = self._select(
                db,
                f"SELECT {{}}, _seq, {fits} FROM {quoted(name)} WHERE _seq > ? AND _seq <= ? "
                "ORDER BY _seq",
                [*values, seq, last],
                live,
            )
            gone = db.execute(
                f"SELECT g.key, g.seq FROM {quoted(f'{name} gone')} AS g WHERE g.seq > ? AND "
                f"g.seq <= ? AND NOT EXISTS (SELECT 1 FROM {quoted(name)} WHERE {key} = g.key) "
                "ORDER BY g.seq",
                (seq, last),
            ).fetchall()
        rows = self._made(stored, live)
        found: list[tuple[int, Change]] = []
        for row, values_ in zip(rows, stored, strict=True):
            known = getattr(row, self.type.key)
            found.append((values_[-2], Change(known, row if values_[-1] else None)))
        first = since == "" or restart
        decode = self.key.decode
        for key_, number in gone if not first else ():
            found.append((number, Change(key_ if decode is None else decode(key_), None)))
        if first:
            found = [entry for entry in found if entry[1].row is not None]
        found.sort(key=lambda entry: entry[0])
        return Changes([change for _, change in found], f"{live.id}-{last}", restart)

    async def changed(
        self, since: str, timeout_s: float, until: Callable[[], bool] = lambda: False
    ) -> bool:
        """Wait until something changed since a place, or `until` is true; whether it came so."""
        deadline = time.monotonic() + timeout_s
        while True:
            seen = self._file.pulse.count
            if until() or self._moved(since):
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            await self._file.pulse.wait_async(seen, left)

    def _moved(self, since: str) -> bool:
        with self._file.reading() as db:
            live = answering(db, self.name, self._file.hub)
        return f"{live.id}-{live.seq}" != since

    # Tokens

    def reached(self, token: Token | str) -> bool:
        """Whether the view is as far as a token. Raises BadToken."""
        return self._far.reached(token)

    async def reach(self, token: Token | str | None, wait_s: float = WAIT_S) -> None:
        """Wait until the view is as far as a token. Raises BadToken, ViewBehind."""
        for seen, left_s in self._far.pulses(token, wait_s):
            await self._file.pulse.wait_async(seen, left_s)

    def _reach(self, token: Token | str | None, wait_s: float) -> None:
        for seen, left_s in self._far.pulses(token, wait_s):
            self._file.pulse.wait(seen, left_s)

    # How it is

    @property
    def ready(self) -> bool:
        """Whether it answers, and goes on."""
        with self._file.reading() as db:
            live = Generation.live_of(db, self.name, self._file.hub)
        return live is not None and live.error is None

    def status(self) -> Status:
        """What answers, how far it is, what is being built."""
        with self._file.reading() as db:
            all_ = Generation.all(db, self.name, self._file.hub)
            live = next((g for g in all_ if g.live), None)
            rows = None
            if live is not None:
                name = quoted(table_name(self.name, live.id))
                rows = db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
        building = next((g for g in all_ if not g.live), None)
        stops = [stop_of(g) for g in all_]
        error = next((str(stop) for stop in stops if stop is not None), None)
        return Status(
            None if live is None else live.version,
            rows,
            error,
            None if building is None else (building.done, building.total),
        )

    # What is stored

    def _select(
        self, db: sqlite3.Connection, sql: str, values: Sequence[Any], live: Generation
    ) -> list[tuple[Any, ...]]:
        """Rows of what answers, with the columns that it has."""
        selected = ", ".join(quoted(name) for name in live.columns)
        return db.execute(sql.format(selected), values).fetchall()

    def _check_asked(self, live: Generation, fields: set[str], *, search: bool) -> None:
        """Refuse what an earlier version, which answers until the new one is built, hasn't."""
        if live.digest == self.type.digest:
            return
        known = {entry[0]: entry for entry in live.shape}
        ours = {entry[0]: entry for entry in self._form.shape}
        missing = sorted(name for name in fields if known.get(name) != ours[name])
        if missing or search:
            what = "searched" if not missing else f"asked for {', '.join(missing)}"
            raise ViewNotBuilt(
                f"view {self.name!r} is being built anew, and its earlier version, which answers "
                f"until then, can't be {what}",
                hint="ask again later",
            )

    def _made(self, stored: Sequence[tuple[Any, ...]], live: Generation) -> list[Any]:
        """Rows of what was stored, by an earlier version too if they fit this one."""
        if live.shape == self._form.shape:
            return self._form.make(stored, PersonKeys.of(self._hub))
        kinds = {name: kind for name, kind, *_ in live.shape}
        found = []
        for values in stored:
            fields = {}
            for name, value in zip(live.columns, values, strict=False):
                column = self._form.columns.get(name)
                if column is None or column.kind != kinds[name]:
                    continue
                if name in self._form.personal:
                    value = PersonKeys.of(self._hub).open_text(name, value)
                plain = value is None or column.decode is None
                fields[name] = value if plain else column.decode(value)  # type: ignore[misc]
            try:
                found.append(self.type.row.model_validate(fields))
            except ValidationError:
                raise ViewNotBuilt(
                    f"view {self.name!r} is being built anew, and the rows of its earlier version "
                    "don't fit this one",
                    hint="ask again later; a new field with a default would have made them fit",
                ) from None
        return found


def _parsed(since: str, view: str) -> tuple[int, int]:
    if since == "":
        return 0, 0
    generation, _, seq = since.partition("-")
    if not (generation.isdecimal() and seq.isdecimal() and len(since) < 40):
        raise BadQuestion(
            f"expected a place among the changes, got {since[:40]!r}",
            where=f"view {view!r}",
            hint="send the id of the last change as it came",
        )
    return int(generation), int(seq)
