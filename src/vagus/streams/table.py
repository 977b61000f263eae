"""Tables: streams read by key, the last event of each being its row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError
from vagus.events import Field
from vagus.hub import TopicConfig
from vagus.runtime.frame import empty_frame
from vagus.runtime.topology import Node, Step, StoreSpec
from vagus.streams.aggregates import OLD, Aggregate
from vagus.streams.duration import Duration, duration_ms
from vagus.streams.fields import columns_of, key_kind, try_out
from vagus.streams.flow import Flow
from vagus.streams.grouping import result_fields
from vagus.streams.personal import check_aggregates, check_expression
from vagus.streams.steps import table as steps
from vagus.streams.steps.aggregate import Aggregation, Emit, Grouped
from vagus.streams.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic
    from vagus.runtime.topology import Process


@dataclass(frozen=True, eq=False, repr=False)
class Table(Flow):
    """Rows by key. What flows is changes: the new row of a key, or its deletion.

    A table is made by an application (`app.table`), by aggregates, and by the methods here.

    >>> import vagus as vg
    >>> class Driver(vg.Event):
    ...     driver_id: int
    ...     name: str
    >>> vg.App("fleet").table("driver", Driver, key="driver_id").columns
    {'driver_id': Int64, 'name': String}
    """

    topic: Topic | None = None  # where all of it can be read, if anywhere
    spec: StoreSpec | None = None  # where it is kept, if it must be

    def filter(self, predicate: pl.Expr) -> Table:
        """The rows for which a Polars expression is true; those that cease to be are deleted."""
        check_expression(predicate, self.fields, f"{self.base}.filter")
        try_out(lambda frame: frame.filter(predicate), self.fields, self.key_type, where=self.base)
        base, empty = self, self.empty
        name = self.app._step_name(f"{self.base}.filter")
        spec = self._store

        def make(stores: Mapping[str, Store]) -> Process:
            return steps.Filter(name, predicate, empty, stores[spec.name] if spec else None)

        node = self.app._topology.add(
            Step(
                name,
                (base.node,),
                make=make,
                empty=empty,
                stores=(spec,) if spec else (),
                label="filter",
            )
        )
        return replace(self, node=node, topic=None, spec=None, base=name)

    def select(self, *columns: str | pl.Expr, **named: str | pl.Expr) -> Table:
        """Keep and compute columns, as Polars' `select` does."""
        return self._as_table(self._as_stream().select(*columns, **named))

    def with_columns(self, *columns: pl.Expr, **named: Any) -> Table:
        """Add or replace columns, as Polars' `with_columns` does; deletions stay deletions."""
        return self._as_table(self._as_stream().with_columns(*columns, **named))

    def rename(self, names: dict[str, str]) -> Table:
        """Give columns other names: `{"old": "new"}`."""
        return self._as_table(self._as_stream().rename(names))

    def drop(self, *columns: str) -> Table:
        """Leave columns out."""
        return self._as_table(self._as_stream().drop(*columns))

    def to_stream(self) -> Stream:
        """The table's changes as a stream; a deletion is a record without an event."""
        return self._as_stream()

    def group_by(self, by: str | pl.Expr) -> TableGrouping:
        """Group rows by a column or expression; `agg` comes next. Rows with null are left out."""
        return TableGrouping(self, by)

    def to(self, topic: str | Stream, **options: Any) -> Table:
        """Write every change to a topic. Options are those of `app.topic`."""
        self._as_stream().to(topic, **options)
        return self

    def to_table(
        self, name: str, *, partitions: int = 1, retention: Duration | None = None
    ) -> Table:
        """Write the rows to the compacted topic `name`, and answer queries of it.

        It is there as `app.views[name]` and `GET /views/{name}` while the application runs.
        Rows are kept for ever, or for `retention` of event time.
        """
        config = TopicConfig(
            partitions=partitions,
            cleanup="compact" if retention is None else "compact,delete",
            retention_s=None if retention is None else duration_ms(retention) / 1000,
        )
        topic = self.app._register(self._topic(name, config), view=True)
        self._write(topic)
        return replace(self, topic=topic, base=name)

    # For joins

    def _as_stream(self) -> Stream:
        return Stream(
            self.app,
            self.node,
            self.fields,
            self.key,
            self.key_kind,
            windowed=self.windowed,
            event_types=self.event_types,
            base=self.base,
        )

    def _as_table(self, stream: Stream) -> Table:
        return replace(
            self,
            node=stream.node,
            fields=stream.fields,
            key=stream.key,
            event_types=stream.event_types,
            topic=None,
            spec=None,
        )

    @property
    def _store(self) -> StoreSpec | None:
        """The store in which this very step keeps its rows, if it does."""
        if self.spec is None or not isinstance(self.node, Step):
            return None
        return next((spec for spec in self.node.stores if spec.name == self.spec.name), None)

    def _kept(self) -> tuple[Node, StoreSpec]:
        """The step that keeps the rows in a store, and the store."""
        store, topology = self._store, self.app._topology
        if store is not None:
            return self.node, store
        name = f"{self.node.name} (kept)"
        if name in topology:
            step = topology[name]
            assert isinstance(step, Step)
            return step, step.stores[0]
        spec = self.spec or self._store_spec(f"{self.base}-table", self.fields, windowed=False)
        step = topology.add(
            Step(
                name,
                (self.node,),
                make=lambda stores: steps.keep(stores[spec.name]),
                empty=self.empty,
                stores=(spec,),
                label="table",
            )
        )
        return step, spec

    def _readable_topic(self, where: str) -> Topic:
        if self.topic is None:
            raise DeclarationError(
                f"table {self.base!r} has no topic that every worker could read in full",
                where=where,
                hint=f"give it one with .to_table('...') before joining on another column than "
                f"its key {self.key!r}",
            )
        return self.topic


@dataclass(frozen=True, eq=False)
class TableGrouping:
    """A table's rows in groups. Made by `Table.group_by`."""

    table: Table
    by: str | pl.Expr

    def agg(
        self, *, emit: Emit = "update", name: str | None = None, **aggregates: Aggregate
    ) -> Table:
        """Compute aggregates over the rows that are in each group now.

        A row that changes takes its old value back and adds the new one, so that only count, sum
        and mean can be computed. `emit` and `name` are as for streams.
        """
        table = self.table
        expr = pl.col(self.by) if isinstance(self.by, str) else self.by
        by = expr.meta.output_name()
        step_name = name or f"{table.base}-by-{by}"
        where = f"{step_name}.agg"
        for label, agg in aggregates.items():
            if agg.difference(label) is None:
                raise DeclarationError(
                    f"expected count, sum or mean for {label!r}: no other aggregate can take back "
                    "the value of a row that changed",
                    where=where,
                )
        if not aggregates:
            raise DeclarationError("nothing to compute", where=where)
        if emit == "final":
            raise DeclarationError(
                "emit='final' needs windows: without one no group is ever complete", where=where
            )
        check_expression(expr, table.fields, where)
        check_aggregates(aggregates, table.fields, where)
        inputs = try_out(
            lambda frame: frame.with_columns(expr.alias(by)).select(
                pl.col(by), *(agg.input.alias(n) for n, agg in aggregates.items())
            ),
            table.fields,
            table.key_type,
            where=where,
        )
        kind = key_kind(where, inputs.schema[by])
        changes = {
            part: Field.of(part, inputs.schema[n]) for n in aggregates for part in (n, n + OLD)
        }
        stream = self._regrouped(step_name, expr, aggregates, changes)
        stream = replace(stream, key_kind=kind, key_moved=True)
        stream = stream._partitioned(step_name, unkeyed=True)  # none is without a key
        state = {
            part: Field.of(part, dtype)
            for n, agg in aggregates.items()
            for part, dtype in agg.accumulators(n, inputs.schema[n]).items()
        }
        fields = result_fields(by, stream, aggregates, state, windowed=False)
        empty = empty_frame(columns_of(fields), stream.key_type)
        aggregation = Aggregation(step_name, by, aggregates, emit, empty, replacing=True)
        spec = stream._store_spec(step_name, state, windowed=False)
        shown = ", ".join(f"{n}={agg.describe()}" for n, agg in aggregates.items())
        node = stream.app._topology.add(
            Step(
                step_name,
                (stream.node,),
                make=lambda stores: Grouped(aggregation, stores[spec.name]),
                empty=empty,
                stores=(spec,),
                meaning=f"rows by {expr}, {shown}",
                label=f"group by {by}",
            )
        )
        return Table(stream.app, node, fields, by, kind, base=step_name)

    def _regrouped(
        self,
        name: str,
        by: pl.Expr,
        aggregates: Mapping[str, Aggregate],
        changes: dict[str, Field],
    ) -> Stream:
        """The step that turns changes of rows into changes of groups."""
        table = self.table
        kind = key_kind(name, table.empty.select(by).dtypes[0])
        stream = replace(
            table._as_stream(), fields=changes, key=None, key_kind=kind, event_types=()
        )
        spec = table._store_spec(f"{name}-rows", table.fields, windowed=table.windowed)
        empty = stream.empty
        node = table.app._topology.add(
            Step(
                f"{name}-changes",
                (table.node,),
                make=lambda stores: steps.Regroup(name, by, aggregates, empty, stores[spec.name]),
                empty=empty,
                stores=(spec,),
                meaning=f"rows by {by}",
                label=f"regroup by {by}",
            )
        )
        return replace(stream, node=node, base=name, windowed=False)
