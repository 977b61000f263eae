"""A grouped stream: waits to be told what to compute."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from vagus.errors import DeclarationError
from vagus.events import Field
from vagus.runtime.frame import TIME_TYPE, empty_frame
from vagus.runtime.topic import WINDOW_START
from vagus.runtime.topology import Step
from vagus.streams.aggregates import Aggregate
from vagus.streams.fields import Fields, columns_of, try_out
from vagus.streams.personal import aggregated, check_aggregates
from vagus.streams.steps.aggregate import (
    WINDOW_END,
    Aggregation,
    Emit,
    Grouped,
    Late,
    Windowed,
    late_name,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagus.runtime.store import Store
    from vagus.runtime.topology import Process
    from vagus.streams.stream import Stream
    from vagus.streams.table import Table
    from vagus.streams.windows import Window


@dataclass(frozen=True, eq=False)
class Grouping:
    """Events grouped by key, and maybe by window. Made by `Stream.group_by` and `.window`."""

    stream: Stream
    by: str | pl.Expr | None
    in_windows: Window | None

    def agg(
        self,
        *,
        emit: Emit = "update",
        name: str | None = None,
        late_to: str | None = None,
        **aggregates: Aggregate,
    ) -> Table:
        """Compute aggregates; the result is a table with a row for each group.

        `emit="update"` gives the newest row of each group that changed, once a batch; `"each"`
        one for each event; `"final"`, for windows, one when the window has closed. `name` is the
        step's identity, under which its state is kept; by default it is made of the topic, the
        key and the window. Events that come too late for a window are counted, and written to
        the topic `late_to` if it is given.
        """
        window = self.in_windows
        stream, by = self._keyed()
        step_name = name or self._default_name(stream, by)
        where = f"{step_name}.agg"
        self._check(aggregates, emit, by, where)
        check_aggregates(aggregates, stream.fields, where)
        inputs = try_out(
            lambda frame: frame.select(agg.input.alias(n) for n, agg in aggregates.items()),
            stream.fields,
            stream.key_type,
            where=where,
        )
        state = {
            part: Field.of(part, dtype)
            for n, agg in aggregates.items()
            for part, dtype in agg.accumulators(n, inputs.schema[n]).items()
        }
        stream = stream._partitioned(step_name)
        fields = result_fields(by, stream, aggregates, state, windowed=window is not None)
        empty = empty_frame(columns_of(fields), stream.key_type)
        aggregation = Aggregation(step_name, by, aggregates, emit, empty)
        spec = stream._store_spec(step_name, state, windowed=window is not None)

        def make(stores: Mapping[str, Store]) -> Process:
            store = stores[spec.name]
            if window is None:
                return Grouped(aggregation, store)
            return Windowed(aggregation, window, store)

        shown = ", ".join(f"{n}={agg.describe()}" for n, agg in aggregates.items())
        step = stream.app._topology.add(
            Step(
                step_name,
                (stream.node,),
                make=make,
                empty=empty,
                stores=(spec,),
                meaning=f"by {by}, {window}, {shown}" if window else f"by {by}, {shown}",
                label=f"{window or 'group'} by {by}",
                idle_s=window.idle_ms / 1000 if window and window.idle_ms is not None else None,
            )
        )
        if late_to is not None:
            self._write_late(stream, step, late_to)
        from vagus.streams.table import Table

        return Table(
            stream.app,
            step,
            fields,
            by,
            stream.key_kind,
            windowed=window is not None,
            base=step_name,
        )

    def _keyed(self) -> tuple[Stream, str]:
        """The stream keyed as asked, and the name of the key's column."""
        stream, by = self.stream, self.by
        if by is None:
            return stream, stream.key or "key"
        if isinstance(by, str):
            return (stream if by == stream.key else stream.rekey(by)), by
        return stream.rekey(by), by.meta.output_name()

    def _default_name(self, stream: Stream, by: str) -> str:
        parts = [stream.base, "by", by]
        if self.in_windows is not None:
            parts.append(str(self.in_windows))
        return "-".join(parts)

    def _check(self, aggregates: Mapping[str, Aggregate], emit: Emit, by: str, where: str) -> None:
        if not aggregates:
            raise DeclarationError(
                "nothing to compute", where=where, hint="e.g. .agg(events=vg.count())"
            )
        for name, agg in aggregates.items():
            if not isinstance(agg, Aggregate):
                raise DeclarationError(
                    f"expected an aggregate for {name!r}, got {type(agg).__name__}",
                    where=where,
                    hint="e.g. vg.mean('speed'); for one of your own vg.fold",
                )
            if name.startswith("_") or name in (by, WINDOW_START, WINDOW_END):
                raise DeclarationError(
                    f"the name {name!r} is taken in the result", where=where, hint="choose another"
                )
        if emit not in ("update", "each", "final"):
            raise DeclarationError(
                f"expected emit='update', 'each' or 'final', got {emit!r}", where=where
            )
        if emit == "final" and self.in_windows is None:
            raise DeclarationError(
                "emit='final' needs windows: without one no group is ever complete",
                where=where,
                hint="use emit='update', or stream.window(...)",
            )

    @staticmethod
    def _write_late(stream: Stream, step: Step, topic: str) -> None:
        name = late_name(step.name)
        empty = stream.empty
        node = stream.app._topology.add(
            Step(
                name,
                (step,),
                make=lambda stores: Late(name, empty),
                empty=empty,
                label="late records",
            )
        )
        replace(stream, node=node, base=name).to(topic)


def result_fields(
    by: str,
    stream: Stream,
    aggregates: Mapping[str, Aggregate],
    state: Mapping[str, Field],
    *,
    windowed: bool,
) -> Fields:
    """The columns of the result: the key, the window's bounds, the aggregates."""
    key = stream.fields.get(by)
    if key is None or key.nullable or key.dtype != stream.key_type:
        key = Field.of(by, stream.key_type, nullable=False)
    fields = {by: key}
    if windowed:
        for bound in (WINDOW_START, WINDOW_END):
            fields[bound] = Field.of(bound, TIME_TYPE, nullable=False)
    accumulators = pl.DataFrame(schema={name: known.dtype for name, known in state.items()})
    for name, agg in aggregates.items():
        dtype = accumulators.select(agg.result(name).alias(name)).schema[name]
        encrypted = aggregated(agg, stream.fields)
        if encrypted is not None:
            fields[name] = encrypted.derived(name, nullable=True)
        else:
            fields[name] = Field.of(name, dtype)
    return fields
