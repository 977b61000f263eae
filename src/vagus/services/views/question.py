"""Questions: filters, sort keys and places, and the SQL that they become."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagus.services.views.errors import BadQuestion, UnknownField
from vagus.services.views.file import quoted

if TYPE_CHECKING:
    from vagus.services.views.columns import Column
    from vagus.services.views.declare import ViewType
    from vagus.services.views.row import RowType

__all__ = ["LIMIT", "LIMIT_MAX", "Condition", "Question", "conditions_of"]

LIMIT = 100
LIMIT_MAX = 10_000
_INT64 = 1 << 63
_RANGES = {"_from": ">=", "_to": "<"}


@dataclass(frozen=True)
class Condition:
    """What one filter asks of a field; `given` are its values in Python, any of which will do."""

    field: str
    operator: str
    given: list[Any]
    values: list[Any]

    @property
    def sql(self) -> str:
        """The condition, with a mark for each of the values."""
        name = quoted(self.field)
        if self.operator != "=":
            return f"{name} {self.operator} ?"
        if len(self.values) == 1:
            return f"{name} IS ?"
        marks = ", ".join("?" * len(self.values))
        null = f" OR {name} IS NULL" if None in self.values else ""
        return f"({name} IN ({marks}){null})"


def field_of(name: str, form: RowType[Any], view: str) -> tuple[Column, str]:
    """The column that a filter is about, and how it compares. Raises UnknownField, BadQuestion."""
    column, compared = form.columns.get(name), "="
    for ending, other in _RANGES.items():
        if column is None and name.endswith(ending) and name.removesuffix(ending) in form.columns:
            column, compared = form.columns[name.removesuffix(ending)], other
    if column is None:
        raise UnknownField(name, form.columns, view=view)
    if not column.comparable:
        raise BadQuestion(
            f"expected a plain field to filter by, got {name!r}, which is nested",
            where=f"view {view!r}",
        )
    return column, compared


def conditions_of(view: str, form: RowType[Any], filters: Mapping[str, Any]) -> list[Condition]:
    """What filters ask for. Raises UnknownField, BadQuestion.

    `field=value` asks for rows with that value, a list for those with any of its values;
    `field_from` for that value or a larger one, `field_to` for smaller ones.
    """
    found = []
    for name, given in filters.items():
        column, compared = field_of(name, form, view)
        several = isinstance(given, list | tuple | set | frozenset)
        values = list(given) if several else [given]
        if compared != "=" and (several or given is None):
            raise BadQuestion(
                f"expected one value for {name!r}, got {given!r}", where=f"view {view!r}"
            )
        if not values:
            raise BadQuestion(f"expected values for {name!r}, got none", where=f"view {view!r}")
        valid = []
        for value in values:
            try:
                # Of a field that is never None, None asks for no row.
                valid.append(None if value is None else column.valid(value))
            except ValueError as error:
                raise BadQuestion(
                    f"expected {error} for {name!r}, got {value!r}", where=f"view {view!r}"
                ) from None
        stored = [column.stored(value) for value in valid]
        if any(isinstance(value, int) and not -_INT64 <= value < _INT64 for value in stored):
            raise BadQuestion(
                f"expected whole numbers of 64 bits for {name!r}", where=f"view {view!r}"
            )
        found.append(Condition(column.name, compared, valid, stored))
    return found


@dataclass(frozen=True)
class Question:
    """Which rows are asked for, in which order, from which place on, and how many at most."""

    conditions: list[Condition]
    order: list[tuple[str, bool]]
    search: str | None
    limit: int
    after: list[Any] | None
    mark: str

    @classmethod
    def of(
        cls,
        view: ViewType,
        filters: Mapping[str, Any],
        *,
        sort: str | Sequence[str] | None = None,
        search: str | None = None,
        limit: int = LIMIT,
        after: str | None = None,
    ) -> Question:
        """The question to a view. Raises UnknownField, BadQuestion."""
        where = f"view {view.name!r}"
        conditions = conditions_of(view.name, view.form, filters)
        order = _order(view, sort)
        given: Any = limit
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= limit <= LIMIT_MAX:
            raise BadQuestion(
                f"expected a limit from 1 to {LIMIT_MAX:,}, got {limit!r}", where=where
            )
        if search is not None and not view.search:
            raise BadQuestion(
                "expected no search: the view has no text to search in",
                where=where,
                hint="declare it with search=[...]",
            )
        words = None if search is None else _words(search, where)
        asked = [[c.field, c.operator, [_plain(v) for v in c.values]] for c in conditions]
        whole = json.dumps([view.name, asked, order, words])
        mark = hashlib.sha256(whole.encode()).hexdigest()[:12]
        place = None if after is None else _place(after, mark, len(order), where)
        return cls(conditions, order, words, limit, place, mark)

    @property
    def fields(self) -> set[str]:
        """The fields that rows are chosen and ordered by."""
        return {c.field for c in self.conditions} | {name for name, _ in self.order}

    def sql(self, rows: str, selected: str, words: str) -> tuple[str, list[Any]]:
        """The statement, of one row more than the limit, and its values."""
        clauses = [condition.sql for condition in self.conditions]
        values = [value for condition in self.conditions for value in condition.values]
        if self.search is not None:
            clauses.append(f"_id IN (SELECT rowid FROM {words} WHERE {words} MATCH ?)")
            values.append(self.search)
        if self.after is not None:
            behind, places = self._behind()
            clauses.append(behind)
            values += places
        where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
        order = ", ".join(f"{quoted(n)} {'DESC' if down else 'ASC'}" for n, down in self.order)
        return f"SELECT {selected} FROM {rows}{where} ORDER BY {order} LIMIT ?", [
            *values,
            self.limit + 1,
        ]

    def place_of(self, stored: Mapping[str, Any]) -> str:
        """Where to read on after a row, as text."""
        place = [_plain(stored[name]) for name, _ in self.order]
        plain = json.dumps([self.mark, place], separators=(",", ":")).encode()
        return urlsafe_b64encode(plain).decode().rstrip("=")

    def _behind(self) -> tuple[str, list[Any]]:
        """The condition that rows come after the place. SQLite puts nulls before all values."""
        assert self.after is not None
        any_of, values = [], []
        for depth, (name, down) in enumerate(self.order):
            value, field = self.after[depth], quoted(name)
            beyond = f"({field} < ? OR {field} IS NULL)" if down else f"{field} > ?"
            if value is None:
                if down:
                    continue  # nothing comes after nulls
                beyond = f"{field} IS NOT NULL"
            same = [f"{quoted(before)} IS ?" for before, _ in self.order[:depth]]
            any_of.append("(" + " AND ".join([*same, beyond]) + ")")
            values += self.after[:depth]
            if value is not None:
                values.append(value)
        return "(" + " OR ".join(any_of) + ")" if any_of else "0", values


def _order(view: ViewType, sort: str | Sequence[str] | None) -> list[tuple[str, bool]]:
    listed = sort.split(",") if isinstance(sort, str) else list(sort or ())
    order: list[tuple[str, bool]] = []
    for part in listed:
        name = part.removeprefix("-")
        column = view.form.column(name, view.name)
        if not column.comparable:
            raise BadQuestion(
                f"expected a plain field to sort by, got {name!r}, which is nested",
                where=f"view {view.name!r}",
            )
        if name in [known for known, _ in order]:
            raise BadQuestion(
                f"expected each sort key once, got {name!r} twice", where=f"view {view.name!r}"
            )
        order.append((name, part.startswith("-")))
    if view.key not in [name for name, _ in order]:
        order.append((view.key, order[-1][1] if order else False))
    return order


def _words(search: str, where: str) -> str:
    """The words as SQLite's full-text search takes them: all of them, the last one's beginning."""
    words = search.split()
    if not words:
        raise BadQuestion(f"expected words to search for, got {search!r}", where=where)
    found = []
    for word in words:
        bare = word.rstrip("*")
        if not any(character.isalnum() for character in bare):
            continue  # SQLite's index holds no punctuation
        star = "*" if bare != word else ""
        found.append('"' + bare.replace('"', '""') + '"' + star)
    if not found:
        raise BadQuestion(f"expected words to search for, got {search!r}", where=where)
    return " ".join(found)


def _plain(value: Any) -> Any:
    return {"b": urlsafe_b64encode(value).decode()} if isinstance(value, bytes) else value


def _place(text: str, mark: str, count: int, where: str) -> list[Any]:
    try:
        padded = text + "=" * (-len(text) % 4)
        found = json.loads(b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
        known, place = found
        if not isinstance(known, str) or not isinstance(place, list):
            raise ValueError
        values = [
            b64decode(value["b"], altchars=b"-_") if isinstance(value, dict) else value
            for value in place
        ]
        if any(not isinstance(v, str | int | float | bytes | None) for v in values):
            raise ValueError
        if any(isinstance(v, int) and not -_INT64 <= v < _INT64 for v in values):
            raise ValueError
    except (ValueError, KeyError, TypeError, BadBase64, RecursionError):
        raise BadQuestion(
            f"expected a place to read on from, got {text[:40]!r}",
            where=where,
            hint="give `after` as it came with the page before",
        ) from None
    if known != mark or len(values) != count:
        raise BadQuestion(
            "expected a place of the same question, got one of another",
            where=where,
            hint="keep filters, search and sort as they were for the page before",
        )
    return values
