"""What streams and tables have in common: a place in the topology, columns, and a key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from vagus.errors import DeclarationError
from vagus.events import KeyCodec, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.frame import empty_frame, frame_schema, value_columns
from vagus.runtime.topic import Topic
from vagus.runtime.topology import Node, Sink, Step
from vagus.streams.fields import (
    Fields,
    Rows,
    Several,
    columns_of,
    fields_after,
    record_name,
    renamed,
    taken_from,
    try_out,
)
from vagus.streams.personal import check_expression, same_mark
from vagus.streams.steps import stateless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagus.events import Event, KeyType
    from vagus.runtime.topology import Process, StoreSpec
    from vagus.streams.app import App


@dataclass(frozen=True, eq=False)
class Flow:
    """Frames on their way: what a step gives on, and what is known of it.

    `key` is the column that equals the key, where there is one. `key_moved` says that the key was
    changed since the records were last partitioned by it.
    """

    app: App
    node: Node
    fields: Fields
    key: str | None
    key_kind: KeyType
    windowed: bool = False
    key_moved: bool = False
    event_types: tuple[type[Event], ...] = ()
    base: str = field(default="")  # the topic or named step that step names are made from

    # What it holds

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The columns and their Polars types."""
        return columns_of(self.fields)

    @property
    def key_type(self) -> pl.DataType:
        """The Polars type of the key."""
        return KeyCodec(self.key_kind).dtype

    @property
    def empty(self) -> pl.DataFrame:
        """A frame without records."""
        return empty_frame(self.columns, self.key_type)

    def __repr__(self) -> str:
        columns = ", ".join(f"{name}: {dtype}" for name, dtype in self.columns.items())
        return f"<{type(self).__name__} {self.node.name} ({columns})>"

    # Building

    def _then(
        self,
        operator: str,
        process: Callable[[str, pl.DataFrame], Process],
        result: pl.DataFrame,
        fields: Fields,
        *,
        parents: tuple[Node, ...] = (),
        label: str = "",
        **changes: Any,
    ) -> Self:
        """This flow after one more stateless step."""
        name = self.app._step_name(f"{self.base}.{operator}")
        order = value_columns(result.columns)
        empty = result.select(*frame_schema({}, self.key_type).names(), *order)
        node = self.app._topology.add(
            Step(
                name,
                (self.node, *parents),
                make=lambda stores: process(name, empty),
                empty=empty,
                label=label or operator,
            )
        )
        return replace(self, node=node, fields=fields, **changes)

    def _map(
        self,
        operator: str,
        function: Callable[[pl.DataFrame], pl.DataFrame],
        changed: Mapping[str, Any],
        *,
        label: str = "",
        keep_types: bool = False,
    ) -> Self:
        """This flow after a function of frames that keeps the records' keys."""
        where = f"{self.base}.{operator}"
        result = try_out(function, self.fields, self.key_type, where=where)
        fields = fields_after(self.fields, result, changed)
        key = self.key if self._hands_on_key(fields, changed) else None
        return self._then(
            operator,
            lambda name, empty: stateless.frames(name, function, empty),
            result,
            fields,
            label=label,
            key=key,
            event_types=self.event_types if keep_types else (),
        )

    def _hands_on_key(self, fields: Fields, changed: Mapping[str, Any]) -> bool:
        """Whether the key's column is there afterwards, as it was."""
        if self.key is None or self.key not in fields:
            return False
        origin = self.fields[self.key]
        return changed.get(self.key, origin) is origin

    def _selected(self, exprs: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The columns that expressions make, each with the field it is taken from, if any."""
        found: dict[str, Any] = {}
        empty = self.empty
        for expr in exprs:
            made = pl.col(expr) if isinstance(expr, str) else expr
            for name in _outputs(empty, made):
                origin = self.fields.get(name)
                plain = made.meta.is_column_selection() or made.meta.is_column()
                if not plain and taken_from(made, self.fields) is None:
                    check_expression(made, self.fields, self.base)
                found[name] = origin if plain else taken_from(made, self.fields)
        for name, expr in named.items():
            made = pl.col(expr) if isinstance(expr, str) else expr
            found[name] = taken_from(made, self.fields) if isinstance(made, pl.Expr) else None
            if found[name] is None:
                check_expression(made, self.fields, self.base)
        return found

    def _check_names(self, names: Mapping[str, Any]) -> None:
        for name in names:
            if name.startswith("_"):
                raise DeclarationError(
                    f"column {name!r} begins with an underscore, as the engine's own do",
                    where=self.base,
                    hint=f"call it {name.lstrip('_')!r}",
                )

    # Outputs

    def _write(self, topic: Topic) -> None:
        """Write every record to a topic."""
        self.app._topology.add(
            Sink(
                self.app._step_name(f"{self.node.name} -> {topic.name}"), (self.node,), topic=topic
            )
        )

    def _schema(self, name: str) -> RecordSchema:
        fields = [renamed(known, key) for key, known in self.fields.items() if key[0] != "_"]
        return RecordSchema.build(record_name(name), fields)

    def _topic(self, name: str, config: TopicConfig, **options: Any) -> Topic:
        """A topic of records like this flow's."""
        if len(self.event_types) == 1:
            schemas: tuple[RecordSchema, ...] = (RecordSchema.of(self.event_types[0]),)
        elif self.event_types:
            schemas = tuple(RecordSchema.of(event_type) for event_type in self.event_types)
        else:
            schemas = (self._schema(name),)
        return Topic(
            name,
            schemas,
            key=self.key,
            key_kind=self.key_kind,
            config=config,
            windowed=self.windowed,
            **options,
        )

    def _reader(self) -> Any:
        """What makes Python objects of frames: the event type, or named tuples."""
        if len(self.event_types) == 1:
            return self.event_types[0]
        if self.event_types:
            return Several(self.event_types)
        return Rows(self.base, self.fields)

    def _store_spec(self, name: str, columns: Fields, *, windowed: bool) -> StoreSpec:
        """State of a step, logged to a compacted topic of the application's own."""
        from vagus.runtime.topology import StoreSpec

        schema = RecordSchema.build(record_name(name), list(columns.values()))
        topic = Topic(
            f"{self.app.name}-{name}-changelog",
            (schema,),
            key_kind=self.key_kind,
            config=TopicConfig(cleanup="compact"),
            windowed=windowed,
            follows_inputs=True,
        )
        return StoreSpec(topic)


def _outputs(empty: pl.DataFrame, expr: pl.Expr) -> list[str]:
    try:
        return empty.select(expr).columns
    except pl.exceptions.PolarsError:
        return []  # the trial of the whole step says what is wrong


def conforming(flow: Flow, topic: Topic) -> list[pl.Expr]:
    """The columns of a topic made of a flow's. Raises DeclarationError where one is missing."""
    exprs = []
    for schema in topic.schemas:
        for name, known in schema.fields.items():
            if name in flow.fields:
                same_mark(flow.fields, schema.fields, name, f"{flow.base} -> {topic.name}")
                if flow.fields[name].dtype != known.dtype:
                    raise DeclarationError(
                        f"expected {name!r} to be {known.dtype}, got {flow.fields[name].dtype}",
                        where=f"{flow.base} -> {topic.name}",
                        hint=f"with_columns(pl.col({name!r}).cast(...)) before .to(...)",
                    )
            elif not known.nullable:
                raise DeclarationError(
                    f"column {name!r} of {schema.name} is missing",
                    where=f"{flow.base} -> {topic.name}",
                    hint=f"there are {', '.join(flow.fields)}",
                )
            else:
                exprs.append(pl.lit(None, known.dtype).alias(name))
    return exprs
