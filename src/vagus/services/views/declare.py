"""Declaring views: what they are made of, before anything runs."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vagus.errors import DeclarationError, nearest
from vagus.runtime.deadletters import VIEW_STEP
from vagus.services.views.row import Row, RowType

if TYPE_CHECKING:
    from vagus.runtime.topic import Topic
    from vagus.services.views.queries import Queries
    from vagus.streams import App

__all__ = ["Deleted", "ViewDeclarations", "ViewType"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}")
RESERVED = ("sort", "limit", "search", "after", "token", "wait_s", "since")
_F = TypeVar("_F", bound=Callable[..., Any])

OnError = Literal["stop", "dead-letter"]
Start = Literal["earliest", "latest"] | datetime


@dataclass(frozen=True, slots=True)
class Deleted:
    """What a view's function is given for a deletion: a record of a table that has no event.

    >>> Deleted("customers", 7).key
    7
    """

    topic: str
    key: Any


@dataclass(frozen=True)
class Source:
    """A topic that a view reads, and what makes Python objects of its frames."""

    topic: Topic
    reader: Any


@dataclass(frozen=True, eq=False)
class ViewType:
    """A declared view. Called, it is the function that it was declared with.

    `row` is the class of its rows, `key` the field that they are found by. `version` is to be
    raised when the function changes, so that the view is built anew.
    """

    name: str
    app: str
    row: type[Row]
    key: str
    function: Callable[[Any, Any], None]
    sources: tuple[Source, ...]
    index: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    version: int = 1
    columns: bool = False
    start: Start = "earliest"
    on_error: OnError = "stop"
    form: RowType[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "form", RowType.of(self.row))
        self._check()

    def __call__(self, event: Any, rows: Any) -> None:
        """Call the function."""
        self.function(event, rows)

    def __repr__(self) -> str:
        return f"<view {self.name!r} of {self.app!r}>"

    @property
    def step(self) -> str:
        """What its dead letters name as the step that failed."""
        return f"{VIEW_STEP}{self.name}"

    @property
    def digest(self) -> str:
        """Changes with all that makes the stored rows something else, but for the version."""
        start = self.start.isoformat() if isinstance(self.start, datetime) else self.start
        whole = [
            self.form.shape,
            self.key,
            list(self.index),
            list(self.search),
            sorted(source.topic.name for source in self.sources),
            self.columns,
            start,
        ]
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()[:32]

    def _check(self) -> None:
        where = f"view {self.name!r}"
        if not _NAME.fullmatch(self.name):
            raise DeclarationError(
                f"expected a name of letters, digits, '.', '_' and '-', got {self.name!r}",
                hint="it becomes part of an address",
            )
        known = self.form.columns
        for what, names in (("key", [self.key]), ("index", self.index), ("search", self.search)):
            for name in names:
                if name not in known:
                    raise DeclarationError(
                        f"{self.row.__name__} has no field {name!r} to be its {what}",
                        where=where,
                        hint=nearest(name, known) or f"it has {', '.join(known)}",
                    )
        key = known[self.key]
        if key.nullable or key.kind in ("json", "float"):
            raise DeclarationError(
                f"expected a key of text, numbers, times or bytes that is never None, got "
                f"{self.key!r}",
                where=where,
            )
        for name in self.index:
            if not known[name].comparable:
                raise DeclarationError(
                    f"expected an index on a plain field, got {name!r}, which is nested",
                    where=where,
                )
        for name in self.search:
            if known[name].kind != "str":
                raise DeclarationError(f"expected to search in text, got {name!r}", where=where)
        for name in RESERVED:
            if name in known:
                raise DeclarationError(
                    f"expected no field {name!r}: questions have a parameter of that name",
                    where=where,
                    hint="rename the field",
                )
        if self.version < 1 or isinstance(self.version, bool):
            raise DeclarationError(
                f"expected a version of 1 or more, got {self.version!r}", where=where
            )
        if isinstance(self.start, datetime) and self.start.tzinfo is None:
            raise DeclarationError(
                "expected a start with a time zone", where=where, hint="add tzinfo=UTC"
            )
        if not isinstance(self.start, datetime) and self.start not in ("earliest", "latest"):
            raise DeclarationError(
                f"expected start='earliest', 'latest' or a datetime, got {self.start!r}",
                where=where,
            )
        if self.on_error not in ("stop", "dead-letter"):
            raise DeclarationError(
                f"expected on_error='stop' or 'dead-letter', got {self.on_error!r}", where=where
            )
        self._check_function(where)

    def _check_function(self, where: str) -> None:
        if inspect.iscoroutinefunction(self.function) or inspect.isgeneratorfunction(self.function):
            raise DeclarationError(
                "expected a plain function, got an async one or a generator",
                where=where,
                hint="a view depends on its events alone, and is called again for all of them in a "
                "rebuild: what has effects outside belongs into app.on(...)",
            )
        if not self.sources:
            raise DeclarationError("expected topics that it reads, got none", where=where)
        if self.columns and len(self.sources) > 1:
            raise DeclarationError(
                "expected one topic for a view on columns, got several",
                where=where,
                hint="the order of events of several topics is kept only event by event",
            )


class ViewDeclarations:
    """The part of a service that views are declared with."""

    _declared_views: dict[str, ViewType]
    _queries: Queries | None

    @property
    def declared_views(self) -> dict[str, ViewType]:
        """The declared views, by name."""
        return dict(self.__dict__.get("_declared_views", {}))

    @property
    def queries(self) -> Queries:
        """The views, to query: `service.queries["orders"].find(customer_id=7)`.

        They are there while the service runs in this process. Raises VagusError otherwise.
        """
        found = self.__dict__.get("_queries")
        if found is None:
            from vagus.errors import VagusError

            raise VagusError(
                "expected a running service, got one that is only declared",
                where=getattr(self, "name", None),
                hint="run it in this process, or open its views with "
                "vagus.services.views.Queries(service, hub)",
            )
        queries: Queries = found
        return queries

    def run(self, hub: str = "vagus.db", *, workers: int = 1, registry: str | None = None) -> None:
        """Run in this process, views included: see `App.run`."""
        from vagus.hub import connect, open_registry
        from vagus.services.views.queries import following

        app: App = self  # type: ignore[assignment]
        with connect(hub) as opened, following(app, opened, open_registry(registry, opened)):
            super().run(hub, workers=workers, registry=registry)  # type: ignore[misc]

    def show_queries(self, queries: Queries) -> None:
        """Have `queries` answer with these. For what runs the service."""
        self._queries = queries

    def hide_queries(self, queries: Queries) -> None:
        """They are closed, and answer no more."""
        if self.__dict__.get("_queries") is queries:
            self._queries = None

    def view(  # noqa: PLR0913 - each is a plain fact of the view
        self,
        name: str,
        row: type[Row],
        *,
        key: str,
        of: Any,
        index: Iterable[str] = (),
        search: Iterable[str] = (),
        version: int = 1,
        columns: bool = False,
        start: Start = "earliest",
        on_error: OnError = "stop",
    ) -> Callable[[Callable[[Any, Any], None]], ViewType]:
        """Declare a view: the decorated function makes rows of events.

        It is called with each event of the topics `of`, in order, and with what holds the rows:
        `rows.put(row)`, `rows.update(key, status="paid")`, `rows.delete(key)`, `rows.get(key)`,
        `rows.where(customer_id=7)`. With `columns` it is called with frames of events of one topic,
        and has `rows.put_frame(frame)`, `rows.delete_keys(keys)` and `rows.frame(keys)`.

        Rows are kept in the service's own SQLite file, together with the positions that they
        follow from. `index` names fields that are often asked for, `search` text that is searched
        by words. A new `version`, or another row, builds the view anew beside the old one. `start`
        is where it begins to read. What it can't process stops it, or with
        `on_error="dead-letter"` is set apart. Raises DeclarationError for what can't work.
        """
        app: App = self  # type: ignore[assignment]
        declared: dict[str, ViewType] = self.__dict__.setdefault("_declared_views", {})
        if name in declared:
            raise DeclarationError(f"two views are called {name!r}", where=app.name)
        sources = _sources(app, of, f"view {name!r}")

        def decorate(function: Callable[[Any, Any], None]) -> ViewType:
            made = ViewType(
                name,
                app.name,
                row,
                key,
                function,
                sources,
                tuple(index),
                tuple(search),
                version,
                columns,
                start,
                on_error,
            )
            declared[name] = made
            return made

        return decorate


def _sources(app: App, of: Any, where: str) -> tuple[Source, ...]:
    given: Sequence[Any] = of if isinstance(of, list | tuple) else [of]
    found: dict[str, Source] = {}
    for one in given:
        source = _source(app, one, where)
        if source.topic.name in found:
            raise DeclarationError(
                f"expected each topic once, got {source.topic.name!r} twice", where=where
            )
        found[source.topic.name] = source
    return tuple(found.values())


def _source(app: App, one: Any, where: str) -> Source:
    from vagus.runtime.topology import Source as SourceNode
    from vagus.streams.fields import Rows, Several
    from vagus.streams.flow import Flow
    from vagus.streams.table import Table

    events = getattr(one, "events", None)
    flow = events if isinstance(events, Flow) else one
    if isinstance(flow, Flow) and isinstance(flow.node, SourceNode):
        return Source(flow.node.topic, flow._reader())
    if isinstance(flow, Table) and flow.topic is not None:
        return Source(flow.topic, flow._reader())
    if isinstance(one, str) and one in app.topics:
        topic = app.topics[one]
        types = tuple(schema.event_type for schema in topic.schemas if schema.event_type)
        if len(types) != len(topic.schemas):
            return Source(topic, Rows(one, topic.schemas[0].fields))
        return Source(topic, types[0] if len(types) == 1 else Several(types))
    shown = repr(one) if isinstance(one, str) else type(one).__name__
    raise DeclarationError(
        f"expected a topic, a table or an aggregate to make the view of, got {shown}",
        where=where,
        hint=(nearest(one, app.topics) if isinstance(one, str) else None)
        or "pass what app.topic(...), app.table(...) or service.aggregate(...) returned; write "
        "what you made of a stream with .to(...) first, and name that topic",
    )
