"""What is known of a stream's columns while it is being declared."""

from __future__ import annotations

import re
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import polars as pl
from polars.exceptions import ColumnNotFoundError, PolarsError

from vagus.errors import DeclarationError, nearest
from vagus.events import Field, RecordSchema
from vagus.events.personal import marks_of
from vagus.runtime.frame import empty_frame, value_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagus.events import Event, KeyType
    from vagus.events.personal import Mark

Fields = dict[str, Field]

_KEY_KINDS: dict[pl.DataType, KeyType] = {
    pl.String(): "str",
    pl.Int64(): "int",
    pl.Binary(): "bytes",
}


def columns_of(fields: Mapping[str, Field]) -> dict[str, pl.DataType]:
    """The Polars type of each field."""
    return {name: field.dtype for name, field in fields.items()}


def key_kind(name: str, dtype: pl.DataType) -> KeyType:
    """How a column of this type is written as a key. Raises DeclarationError if it can't be."""
    if dtype not in _KEY_KINDS:
        raise DeclarationError(
            f"expected a key of text, whole numbers or bytes, got {dtype}",
            where=name,
            hint="make a text of it first, e.g. with_columns(key=pl.format('{}-{}', 'a', 'b'))",
        )
    return _KEY_KINDS[dtype]


def try_out(
    function: Callable[[pl.DataFrame], pl.DataFrame],
    fields: Mapping[str, Field],
    key: pl.DataType,
    *,
    where: str,
) -> pl.DataFrame:
    """What a function makes of an empty frame: this tells its columns, and finds mistakes early."""
    try:
        return function(empty_frame(columns_of(fields), key))
    except ColumnNotFoundError as error:
        quoted = re.search(r'"([^"]+)"', str(error))
        name = quoted[1] if quoted else str(error)
        raise DeclarationError(
            f"no column {name!r}",
            where=where,
            hint=nearest(name, fields) or f"there are {', '.join(fields)}",
        ) from None
    except PolarsError as error:
        raise DeclarationError(str(error).split("\n", maxsplit=1)[0], where=where) from None


def fields_after(
    fields: Mapping[str, Field], result: pl.DataFrame, changed: Mapping[str, Field | None]
) -> Fields:
    """The fields of a step's result.

    `changed` are columns that the step made: as the field they were taken from unchanged, or None.
    """
    found: Fields = {}
    for name in value_columns(result.columns):
        dtype = result.schema[name]
        origin = changed[name] if name in changed else fields.get(name)
        if origin is not None and origin.dtype == dtype:
            if origin.name == name:
                found[name] = origin
            else:
                found[name] = origin.derived(name)
        else:
            found[name] = Field.of(name, dtype)
    return found


def taken_from(expr: pl.Expr, fields: Mapping[str, Field]) -> Field | None:
    """The field that an expression hands on as it is, or None if it makes a value of its own."""
    if not expr.meta.is_column_selection() and not expr.meta.is_column():
        undone = expr.meta.undo_aliases()
        if not undone.meta.is_column():
            return None
        expr = undone
    roots = expr.meta.root_names()
    return fields.get(roots[0]) if len(roots) == 1 else None


def nullable(field: Field) -> Field:
    """The field, with null allowed."""
    return field if field.nullable else field.derived(field.name, nullable=True)


def renamed(field: Field, name: str) -> Field:
    """The field under another name."""
    if name == field.name:
        return field
    return field.derived(name)


def marks_read(reader: Any) -> Mapping[str, Mark]:
    """The personal columns of what makes Python objects of frames."""
    if isinstance(reader, (Rows, Several)):
        return reader.marks
    return RecordSchema.of(reader).marks


class Rows:
    """Stands in for an event type where a stream has none: rows are named tuples."""

    def __init__(self, name: str, fields: Mapping[str, Field]) -> None:
        self.names = [field for field in fields if not field.startswith("_")]
        self._type = namedtuple(record_name(name), self.names)  # type: ignore[misc]
        self.marks = marks_of(fields)

    def from_frame(self, frame: pl.DataFrame) -> list[Any]:
        """A named tuple for each row."""
        return [self._type(*row) for row in frame.select(self.names).iter_rows()]


class Several:
    """Makes events of a frame that holds several types, each row by its `_type`."""

    def __init__(self, event_types: tuple[type[Event], ...]) -> None:
        self._types = {RecordSchema.of(one).name: one for one in event_types}
        self.marks = {
            name: mark for one in event_types for name, mark in RecordSchema.of(one).marks.items()
        }

    def from_frame(self, frame: pl.DataFrame) -> list[Any]:
        """The events, in the order of the rows."""
        names = frame["_type"].to_list()
        found = dict.fromkeys(names)
        if len(found) == 1:
            return self._types[names[0]].from_frame(frame)
        events: list[Any] = [None] * frame.height
        for name in found:
            rows = [row for row, each in enumerate(names) if each == name]
            for row, event in zip(rows, self._types[name].from_frame(frame[rows]), strict=True):
                events[row] = event
        return events


def record_name(topic: str) -> str:
    """The name of the record type of a topic that has no event class: BusSpeed for bus-speed."""
    words = "".join(c if c.isalnum() else " " for c in topic).split()
    name = "".join(word[:1].upper() + word[1:] for word in words)
    return name if name[:1].isalpha() else f"Record{name}"
