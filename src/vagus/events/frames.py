"""Frames and schemas: making the one fit the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from vagus.errors import DeclarationError, EncodeError, nearest
from vagus.events.evolve import default_column

if TYPE_CHECKING:
    from vagus.events.nodes import BadRows
    from vagus.events.schema import RecordSchema

__all__ = ["arrow_of", "fitted", "only_schema", "raise_bad", "types_of", "union_columns"]

_OURS = {"_row", "_type"}
_OLDEST = pl.CompatLevel.oldest()


def only_schema(schemas: Sequence[RecordSchema], topic: str) -> RecordSchema:
    """The only schema of a topic. Raises DeclarationError if there are several."""
    if len(schemas) > 1:
        raise DeclarationError(
            f"expected a topic of one type, got {', '.join(each.name for each in schemas)}",
            where=topic,
            hint="ask for `schemas`",
        )
    return schemas[0]


def union_columns(schemas: Sequence[RecordSchema], topic: str) -> pl.Schema:
    """The columns of all the schemas of a topic. Raises DeclarationError if they clash."""
    if not schemas:
        raise DeclarationError("expected at least one schema, got none", where=topic)
    names = [schema.name for schema in schemas]
    if len(set(names)) != len(names):
        raise DeclarationError(
            f"expected schemas of different names, got {', '.join(names)}", where=topic
        )
    columns: dict[str, pl.DataType] = {}
    for schema in schemas:
        for name in _OURS & set(schema.columns):
            raise DeclarationError(
                f"expected no field named {name!r}: every frame has a column of that name",
                where=f"{topic}.{name}",
                hint="rename the field",
            )
        for name, dtype in schema.columns.items():
            if columns.setdefault(name, dtype) != dtype:
                raise DeclarationError(
                    f"expected one type of a column, got {columns[name]} and {dtype}",
                    where=f"{topic}.{name}",
                    hint="rename the field in one of the types",
                )
    _check_marks(schemas, topic)
    return pl.Schema(columns)


def _check_marks(schemas: Sequence[RecordSchema], topic: str) -> None:
    """Raise DeclarationError where a column is personal in different ways."""
    for first in schemas:
        for name, mark in first.marks.items():
            for other in schemas:
                if name in other.fields and other.marks.get(name) != mark:
                    raise DeclarationError(
                        "expected a column to be personal in the same way in all types, got "
                        f"{mark} in {first.name} and {other.marks.get(name)} in {other.name}",
                        where=f"{topic}.{name}",
                        hint="rename the field in one of the types",
                    )


def fitted(frame: pl.DataFrame, schema: RecordSchema, topic: str) -> list[pl.Series]:
    """The schema's columns of a frame, in its types. Raises EncodeError with the rows."""
    columns: list[pl.Series] = []
    for name, dtype in schema.columns.items():
        if name not in frame.columns:
            part = schema.fields[name]
            if "default" not in part.avro:
                raise EncodeError(
                    f"expected a column {name!r}, got {', '.join(frame.columns)}",
                    where=topic,
                    hint=nearest(name, frame.columns) or "add it, or give the field a default",
                )
            column = default_column(part.avro, schema.nodes[name], frame.height)
            columns.append(pl.Series(name, column).cast(dtype))
            continue
        series = frame.get_column(name)
        if name in schema.marks:
            series = _encrypted(series, topic)
        columns.append(series if series.dtype == dtype else _cast(series, dtype, topic))
    return columns


def _encrypted(series: pl.Series, topic: str) -> pl.Series:
    """A personal column, unless there is a value in it that anybody could read."""
    from vagus.events.cipher import unsealed

    if series.dtype != pl.Binary:
        rows = series.is_not_null().arg_true().to_list()
    else:
        rows = unsealed(series).arg_true().to_list()
    if rows:
        raise EncodeError(
            f"expected encrypted values in a personal field, got others, row {rows[0]}",
            where=f"{topic}.{series.name}",
            hint="send it with vg.Client, or make the event in map_events: both encrypt",
            rows=rows,
        )
    return series


def _cast(series: pl.Series, dtype: pl.DataType, topic: str) -> pl.Series:
    where = f"{topic}.{series.name}"
    given = series.dtype
    if (
        isinstance(dtype, pl.Datetime)
        and isinstance(given, pl.Datetime)
        and (given.time_zone is None) != (dtype.time_zone is None)
    ):
        raise EncodeError(
            f"expected {dtype}, got {given}",
            where=where,
            hint='say which zone it is: .dt.replace_time_zone("UTC")',
            rows=list(range(len(series))),
        )
    try:
        result = series.cast(dtype, strict=False)
    except pl.exceptions.PolarsError as error:
        raise EncodeError(
            f"expected {dtype}, got {given}",
            where=where,
            hint=str(error),
            rows=list(range(len(series))),
        ) from None
    lost = result.is_null() & series.is_not_null()
    if _may_round(given, dtype):
        lost |= result.cast(given, strict=False).ne_missing(series)
    rows = lost.arg_true().to_list()
    if rows:
        raise EncodeError(
            f"expected {dtype}, got {given} {series[rows[0]]!r} in row {rows[0]}",
            where=where,
            hint="cast the column yourself, as you mean it",
            rows=rows,
        )
    return result


def _may_round(given: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether Polars would cut off digits without a word."""
    if isinstance(given, pl.List | pl.Array) and isinstance(wanted, pl.List):
        return _may_round(_instance(given.inner), _instance(wanted.inner))
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Struct):
        old = {part.name: _instance(part.dtype) for part in given.fields}
        return any(
            _may_round(old[part.name], _instance(part.dtype))
            for part in wanted.fields
            if part.name in old
        )
    if isinstance(wanted, pl.Decimal):
        return not isinstance(given, pl.Decimal) or given.scale > wanted.scale
    return wanted.is_integer() and (given.is_float() or given.is_decimal())


def _instance(dtype: Any) -> pl.DataType:
    made: pl.DataType = dtype() if isinstance(dtype, type) else dtype
    return made


def types_of(frame: pl.DataFrame, names: Sequence[str], topic: str) -> pl.Series:
    """The column that says which type each row of a topic of several types is."""
    if "_type" not in frame.columns:
        raise EncodeError(
            f"expected a column _type that says which of {', '.join(names)} a row is",
            where=topic,
            hint="give it, or the name of the type",
        )
    types = frame["_type"]
    if types.null_count():
        rows = types.is_null().arg_true().to_list()
        raise EncodeError("expected a type, got null in _type", where=topic, rows=rows)
    return types.cast(pl.String)


def arrow_of(series: pl.Series) -> pa.Array:
    """A column as one Arrow array, of the layouts that every library knows."""
    array = series.to_arrow(compat_level=_OLDEST)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def raise_bad(bad: BadRows, topic: str) -> None:
    """Raise EncodeError if there are bad rows."""
    if not bad.reasons:
        return
    rows = sorted(bad.reasons)
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    raise EncodeError(
        f"{bad.reasons[rows[0]]}, row {rows[0]}{more}",
        where=topic,
        hint="fix the value, or make the field fit it",
        rows=rows,
    )
