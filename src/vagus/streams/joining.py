"""Joins of a stream with a table, as they are declared: what can be joined, and by which step."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from vagus.errors import DeclarationError, nearest
from vagus.runtime.frame import KEY, empty_frame
from vagus.runtime.topology import Step
from vagus.streams.fields import columns_of, nullable, renamed
from vagus.streams.personal import check_expression
from vagus.streams.steps.join import How, Join, WithBroadcast, WithPartition

if TYPE_CHECKING:
    from vagus.streams.fields import Fields
    from vagus.streams.stream import Stream
    from vagus.streams.table import Table

__all__ = ["joined"]


def joined(
    stream: Stream, table: Table, *, on: str | None, how: How, suffix: str, name: str | None
) -> Stream:
    """See `Stream.join`."""
    _check(stream, table, on, how)
    base, key = stream.base, stream.key
    by_key = on is None or on == key
    if by_key:
        moved = name or f"{base}-by-{key or 'key'}"
        stream = stream._partitioned(moved, unkeyed=True)  # a left join has a use for them
    columns, fields = _columns(
        stream.fields, table, {on, key} if by_key else {on}, how, suffix, base
    )
    empty = empty_frame(columns_of(fields), stream.key_type)
    step_name = stream.app._step_name(f"{stream.base}.join {table.base}")
    looked_up = pl.col(KEY) if by_key else pl.col(str(on))
    join = Join(step_name, looked_up, how, columns, empty)
    label = f"{how} join on {on or key or 'key'}"
    if by_key:
        node, spec = table._kept()
        step = Step(
            step_name,
            (stream.node, node),
            make=lambda stores: WithPartition(join, stores[spec.name]),
            empty=empty,
            stores=(spec,),
            label=label,
        )
    else:
        topic = table._readable_topic(f"{base}.join")
        step = Step(
            step_name,
            (stream.node,),
            make=lambda stores: WithBroadcast(join, topic.name),
            empty=empty,
            broadcast=(topic,),
            label=label,
        )
    stream.app._topology.add(step)
    return replace(stream, node=step, fields=fields, event_types=())


def _check(stream: Stream, table: Table, on: str | None, how: str) -> None:
    """Raise DeclarationError for what can't be joined."""
    where = f"{stream.base}.join"
    if how not in ("inner", "left"):
        raise DeclarationError(f"expected how='inner' or how='left', got {how!r}", where=where)
    by_key = on is None or on == stream.key
    if on is not None:
        check_expression(pl.col(on), stream.fields, where)
    if not by_key and on not in stream.fields:
        raise DeclarationError(
            f"no column {on!r}",
            where=where,
            hint=nearest(str(on), stream.fields) or f"there are {', '.join(stream.fields)}",
        )
    looked_up = stream.key_type if by_key else stream.columns[str(on)]
    if looked_up != table.key_type:
        raise DeclarationError(
            f"expected a column of type {table.key_type}, the key of {table.base!r}, got "
            f"{looked_up}",
            where=where,
            hint="cast it with with_columns",
        )
    if table.windowed:
        raise DeclarationError(
            f"table {table.base!r} has windowed keys, and can't be looked up by key alone",
            where=where,
        )


def _columns(
    known: Fields, table: Table, same: set[str | None], how: How, suffix: str, base: str
) -> tuple[dict[str, str], Fields]:
    """The table's columns by their names in the result, and all fields of the result.

    `known` are the stream's fields, and `same` those of its columns that hold the table's key.
    """
    columns: dict[str, str] = {}
    fields = dict(known)
    for column, own in table.fields.items():
        if column == table.key and table.key in same:
            continue
        new = column + suffix if column in known else column
        if new in fields:
            raise DeclarationError(
                f"column {new!r} is in both {base!r} and {table.base!r}",
                where=f"{base}.join",
                hint="give another suffix, or rename it before",
            )
        columns[new] = column
        field = renamed(own, new)
        fields[new] = nullable(field) if how == "left" else field
    return columns, fields
