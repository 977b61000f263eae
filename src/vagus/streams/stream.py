"""Streams: functions from frames of events to frames of events."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError, nearest
from vagus.events import Event, Field, RecordSchema
from vagus.events.personal import marks_of
from vagus.hub import TopicConfig
from vagus.runtime.frame import KEY, SYSTEM, empty_frame
from vagus.runtime.topology import Sink, Source
from vagus.streams.fields import (
    Fields,
    columns_of,
    fields_after,
    key_kind,
    nullable,
    try_out,
)
from vagus.streams.flow import Flow, conforming
from vagus.streams.grouping import Grouping
from vagus.streams.joining import joined
from vagus.streams.personal import check_expression
from vagus.streams.steps import stateless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vagus.streams.steps.join import How
    from vagus.streams.table import Table
    from vagus.streams.windows import Window


@dataclass(frozen=True, eq=False, repr=False)
class Stream(Flow):
    """Events on their way, in frames.

    A stream is made by an application (`app.topic`) and by the methods here; each gives a new
    one. Nothing runs until the application does.

    >>> import polars as pl, vagus as vg
    >>> class Reading(vg.Event):
    ...     sensor: str
    ...     celsius: float
    >>> app = vg.App("weather")
    >>> warm = app.topic("reading", Reading, key="sensor").filter(pl.col("celsius") > 25)
    >>> warm.columns
    {'sensor': String, 'celsius': Float64}
    """

    # One record in, one or none out

    def filter(self, predicate: pl.Expr) -> Stream:
        """Keep the events for which a Polars expression is true."""
        check_expression(predicate, self.fields, f"{self.base}.filter")
        return self._map("filter", lambda frame: frame.filter(predicate), {}, keep_types=True)

    def of(self, event_type: type[Event]) -> Stream:
        """The events of one type, of a topic that carries several."""
        if event_type not in self.event_types:
            names = ", ".join(known.__name__ for known in self.event_types)
            raise DeclarationError(
                f"{self.base!r} carries {names or 'no event classes'}, not {event_type.__name__}",
                where=f"{self.base}.of",
            )
        if len(self.event_types) == 1:
            return self
        schema = RecordSchema.of(event_type)
        columns = list(schema.fields)

        def function(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.filter(pl.col("_type") == schema.name).select(*SYSTEM, *columns)

        one = self._map("of", function, {}, label=f"only {schema.name}")
        return replace(one, fields=dict(schema.fields), event_types=(event_type,))

    def select(self, *columns: str | pl.Expr, **named: str | pl.Expr) -> Stream:
        """Keep and compute columns, as Polars' `select` does."""
        self._check_names(named)
        exprs = {name: _column(expr) for name, expr in named.items()}

        changed = self._selected(columns, named)

        def function(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.select(*SYSTEM, *columns, **exprs)

        def besides_system(frame: pl.DataFrame) -> pl.DataFrame:
            made = frame.select(pl.struct(SYSTEM).alias("_system"), *columns, **exprs)
            values = made.drop("_system", *SYSTEM, strict=False)
            return made.select("_system").unnest("_system").hstack(values)

        wide = not changed.keys().isdisjoint(SYSTEM)  # by pl.all(), say
        return self._map("select", besides_system if wide else function, changed)

    def with_columns(self, *columns: pl.Expr, **named: str | pl.Expr | Any) -> Stream:
        """Add or replace columns, as Polars' `with_columns` does; deletions stay deletions."""
        self._check_names(named)
        exprs = {name: _column(expr) for name, expr in named.items()}

        changed = self._selected(columns, named)

        def function(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.with_columns(*columns, **exprs)

        def besides_system(frame: pl.DataFrame) -> pl.DataFrame:
            return frame.with_columns(*columns, **exprs).with_columns(frame.select(SYSTEM))

        wide = not changed.keys().isdisjoint(SYSTEM)  # by pl.all(), say
        return self._map("with_columns", besides_system if wide else function, changed)

    def rename(self, names: dict[str, str]) -> Stream:
        """Give columns other names: `{"old": "new"}`."""
        self._check_names(dict.fromkeys(names.values()))
        unknown = next((old for old in names if old not in self.fields), None)
        if unknown is not None:
            raise DeclarationError(
                f"no column {unknown!r}",
                where=f"{self.base}.rename",
                hint=nearest(unknown, self.fields) or f"there are {', '.join(self.fields)}",
            )
        changed = {new: self.fields[old] for old, new in names.items()}
        renamed = self._map("rename", lambda frame: frame.rename(names), changed)
        if self.key in names:
            return replace(renamed, key=names[self.key])
        return renamed

    def drop(self, *columns: str) -> Stream:
        """Leave columns out."""
        return self._map("drop", lambda frame: frame.drop(columns), {})

    def map_frames(
        self,
        function: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        into: type[Event] | dict[str, pl.DataType] | None = None,
    ) -> Stream:
        """Apply a function of your own to whole frames.

        It must judge each record by itself (a frame is whatever came together) and keep the
        columns that begin with an underscore. `into` tells the columns of the result; without it
        the function is tried on an empty frame while the stream is declared. If it raises, the
        frame is halved until the records that cause it stand alone; those become dead letters.
        """
        where = f"{self.base}.map_frames"
        call = stateless.checked(function, where)
        types: tuple[type[Event], ...] = ()
        fields: Fields
        if into is None:
            result = try_out(call, self.fields, self.key_type, where=where)
            encrypted = {name: self.fields[name] for name in marks_of(self.fields)}
            fields = fields_after(self.fields, result, {**dict.fromkeys(self.fields), **encrypted})
        elif isinstance(into, dict):
            fields = {name: Field.of(name, _instance(dtype)) for name, dtype in into.items()}
        else:
            fields, types = dict(RecordSchema.of(into).fields), (into,)
        empty = empty_frame(columns_of(fields), self.key_type)

        def conform(frame: pl.DataFrame) -> pl.DataFrame:
            return call(frame).select(empty.columns).cast(empty.schema)

        return self._then(
            "map_frames",
            lambda name, empty: stateless.frames(name, conform, empty),
            empty,
            fields,
            key=None,  # the function may have given the key's column another value
            event_types=types,
        )

    def map_events(
        self, function: Callable[[Any], Any], *, into: type[Event] | None = None
    ) -> Stream:
        """Call a Python function, plain or async, for each event; it returns the new event.

        `into` is the type that it returns; the return annotation tells it too. Returning None
        leaves the event out. An event for which it raises becomes a dead letter.
        """
        return self._per_event("map_events", function, into, many=False)

    def flat_map(
        self, function: Callable[[Any], Iterable[Event]], *, into: type[Event] | None = None
    ) -> Stream:
        """Call a Python function for each event; it returns, or yields, any number of events."""
        return self._per_event("flat_map", function, into, many=True)

    def _per_event(
        self,
        operator: str,
        function: Callable[[Any], Any],
        into: type[Event] | None,
        *,
        many: bool,
    ) -> Stream:
        target = into or _returned(function)
        if target is None:
            raise DeclarationError(
                f"expected to know which event {_name(function)} returns",
                where=f"{self.base}.{operator}",
                hint="annotate its return type, or pass into=EventType",
            )
        fields = dict(RecordSchema.of(target).fields)
        source = self._reader()
        return self._then(
            operator,
            lambda name, empty: stateless.PerEvent(
                name, function, source, target, empty, many=many
            ),
            empty_frame(columns_of(fields), self.key_type),
            fields,
            label=f"{operator} {_name(function)}",
            key=None,  # the function may have given the key's column another value
            event_types=(target,),
        )

    # Several streams

    def branch(self, *predicates: pl.Expr) -> tuple[Stream, ...]:
        """Split into one stream for each predicate, and one for the rest.

        An event goes to the first whose predicate is true.
        """
        taken: pl.Expr = pl.lit(False)
        streams = []
        for predicate in predicates:
            judged = predicate.fill_null(value=False)
            streams.append(self.filter(judged & ~taken))
            taken = taken | judged
        return (*streams, self.filter(~taken))

    def merge(self, *others: Stream) -> Stream:
        """The events of several streams of the same columns, in the order of processing."""
        for other in others:
            if other.columns != self.columns or other.key_type != self.key_type:
                raise DeclarationError(
                    f"expected streams of the same columns and key, got {self!r} and {other!r}",
                    hint="select, rename and cast until they agree",
                )
        fields = {
            name: nullable(known) if any(o.fields[name].nullable for o in others) else known
            for name, known in self.fields.items()
        }
        same = all(other.event_types == self.event_types for other in others)
        moved = self.key_moved or any(other.key_moved for other in others)
        return self._then(
            "merge",
            lambda name, empty: stateless.merge(),
            self.empty,
            fields,
            parents=tuple(other.node for other in others),
            key=self.key if all(other.key == self.key for other in others) else None,
            event_types=self.event_types if same else (),
            key_moved=moved,
        )

    def rekey(self, by: str | pl.Expr) -> Stream:
        """Give events another key: a column, or an expression.

        Where a later step needs all events of a key in one place, they go through a repartition
        topic; events whose new key is null have no place there, and are left out of it.
        """
        expr = pl.col(by) if isinstance(by, str) else by
        check_expression(expr, self.fields, f"{self.base}.rekey")
        trial = self._map("rekey", lambda frame: frame.with_columns(expr.alias("by")), {"by": None})
        dtype = trial.columns["by"]
        kind = key_kind(f"{self.base}.rekey", dtype)
        key = by if isinstance(by, str) else None
        rekeyed = replace(self, key_kind=kind, windowed=False)
        self.app._topology.remove(trial.node)
        return rekeyed._then(
            "rekey",
            lambda name, empty: stateless.frames(name, stateless.rekeyed(expr, dtype), empty),
            rekeyed.empty,
            self.fields,
            label=f"rekey by {key or expr}",
            key=key,
            key_moved=True,
        )

    def _partitioned(self, name: str, *, unkeyed: bool = False) -> Stream:
        """This stream, partitioned by its key: through a topic of its own if need be.

        Records without a key are left out of that topic unless the next step has a use for them
        (`unkeyed`).
        """
        if not self.key_moved:
            return self
        topology, written = self.app._topology, self
        if not unkeyed:
            with_key = pl.col(KEY).is_not_null()
            written = self._map("keyed", lambda frame: frame.filter(with_key), {}, label="with key")
        topic = replace(
            self._topic(f"{self.app.name}-{name}-repartition", TopicConfig()),
            follows_inputs=True,
            schemas=(self._schema(name),),
        )
        fields = {key: known for key, known in self.fields.items() if key[0] != "_"}
        sink = Sink(f"{name} -> repartition", (written.node,), topic=topic)
        if sink.name in topology and topology[sink.name].parents == sink.parents:
            source = topology[topic.name]  # a join before this one goes through it too
        else:
            topology.add(sink)
            source = topology.add(Source(topic.name, topic=topic))
        types = self.event_types if len(self.event_types) == 1 else ()
        return replace(
            self, node=source, fields=fields, key_moved=False, base=name, event_types=types
        )

    # State

    def group_by(self, by: str | pl.Expr | None = None) -> Grouping:
        """Group events by a column or expression, or by their key; `agg` comes next."""
        return Grouping(self, by, None)

    def window(self, window: Window, *, by: str | pl.Expr | None = None) -> Grouping:
        """Group events by a column or their key, and by windows of event time."""
        return Grouping(self, by, window)

    def join(
        self,
        table: Table,
        *,
        on: str | None = None,
        how: How = "inner",
        suffix: str = "_right",
        name: str | None = None,
    ) -> Stream:
        """Join each event with the table's row as it is when the event is processed.

        Events and rows are taken by time, the lowest first; of equal time, rows come first.
        `on` is the column of the stream that holds the table's key; without it, or where it is
        the stream's key, both are read partition by partition and must have as many partitions.
        On another column every worker holds the whole table, which must then have a topic. `how`
        is "inner" or "left" (events without a row are kept). Columns of the table whose names are
        taken get `suffix`. `name` is that of the repartition topic, where a stream that was given
        another key needs one; by default it is made of the topic and the key.
        """
        return joined(self, table, on=on, how=how, suffix=suffix, name=name)

    # Outputs

    def to(
        self, topic: str | Stream, event_type: type[Event] | None = None, **options: Any
    ) -> Stream:
        """Write the events to a topic, by name or as declared with `app.topic`.

        Without an event type the topic's schema is made of the stream's columns. Options are
        those of `app.topic`: partitions, retention, and so on.
        """
        if isinstance(topic, Stream):
            declared = self.app._declared(topic)
        else:
            declared = self.app._output(topic, self, event_type, **options)
        exprs = conforming(self, declared)
        flow: Stream = self
        if declared.key is not None and declared.key != self.key:
            if declared.key not in self.fields:
                raise DeclarationError(
                    f"topic {declared.name!r} has the key {declared.key!r}, not a column here",
                    where=f"{self.base}.to",
                    hint=f"there are {', '.join(self.fields)}",
                )
            flow = flow.rekey(declared.key)
        if exprs:
            flow = flow._map("to", lambda frame: frame.with_columns(exprs), {})
        flow._write(declared)
        return self


def _column(expr: Any) -> Any:
    return pl.col(expr) if isinstance(expr, str) else expr


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _returned(function: Callable[..., Any]) -> type[Event] | None:
    """The event type in a function's return annotation, alone, optional or in an iterable."""
    call = function if inspect.isroutine(function) else type(function).__call__
    try:
        annotation = typing.get_type_hints(call).get("return")
    except (NameError, TypeError):
        return None
    waiting = [annotation]
    while waiting:
        found = waiting.pop()
        if isinstance(found, type) and issubclass(found, Event):
            return found
        waiting.extend(typing.get_args(found))
    return None
