"""Events one by one, for Python functions: from the rows of a frame, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import polars as pl
from pydantic import BaseModel, TypeAdapter, ValidationError

from vagus.errors import DecodeError, EncodeError, nearest
from vagus.events.construct import EPOCH, maker_of
from vagus.events.declare import own_tag
from vagus.events.nodes import Array, Enumeration, Map, Node, Record, Scalar, Union
from vagus.events.schema import RecordSchema

if TYPE_CHECKING:
    from vagus.events.event import Event

__all__ = ["events_of", "frame_of", "to_python"]

_INSTANT = pl.Datetime("us", "UTC")
_MICROSECOND = timedelta(microseconds=1)
E = TypeVar("E", bound="Event")
_Change = Callable[[Any], Any]


def events_of(event_type: type[E], frame: pl.DataFrame) -> list[E]:
    """The rows of a frame as events."""
    schema = RecordSchema.of(event_type).plain
    missing = [
        name
        for name in schema.fields
        if name not in frame.columns and event_type.model_fields[name].is_required()
    ]
    if missing:
        raise DecodeError(
            f"expected a column {missing[0]!r}, got {', '.join(frame.columns)}",
            where=schema.name,
            hint=nearest(missing[0], frame.columns),
        )
    maker = maker_of(event_type)
    if maker is not None and (made := maker.make(frame)) is not None:
        return made
    names = [name for name in schema.fields if name in frame.columns]
    columns = []
    for name in names:
        try:
            values = frame[name].to_list()
        except (OverflowError, ValueError) as error:  # Polars knows years that Python doesn't
            raise DecodeError(
                f"expected values that Python has: {error}", where=f"{schema.name}.{name}"
            ) from None
        change = to_python(schema.nodes[name])
        if change is not None:
            values = [None if value is None else change(value) for value in values]
        columns.append(values)
    rows: list[Any] = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if not names:
        rows = [{} for _ in range(frame.height)]
    try:
        events: list[E] = _adapter(event_type).validate_python(rows)
    except ValidationError as error:
        first = error.errors()[0]
        row, *place = first["loc"]
        raise DecodeError(
            f"expected a valid {schema.name} in row {row}: {first['msg']}",
            where=".".join(map(str, place)) or schema.name,
        ) from None
    return events


@lru_cache(maxsize=256)
def _adapter(event_type: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(list[event_type])  # type: ignore[valid-type]


def frame_of(event_type: type[E], events: Sequence[E]) -> pl.DataFrame:
    """The events as the rows of a frame."""
    schema = RecordSchema.of(event_type).plain
    columns = []
    for name, node in schema.nodes.items():
        try:
            values = [getattr(event, name) for event in events]
        except AttributeError:
            other = next(event for event in events if not hasattr(event, name))
            raise EncodeError(
                f"expected events of type {schema.name}, got {type(other).__name__}",
                where=node.where,
            ) from None
        change = _from_python(node)
        if change is not None:
            values = [None if value is None else change(value) for value in values]
        try:
            if node.dtype == _INSTANT:
                columns.append(_instants(name, values))
                continue
            columns.append(pl.Series(name, values, node.dtype))
        except (pl.exceptions.PolarsError, TypeError, OverflowError) as error:
            raise EncodeError(
                f"expected values that fit {node.dtype}", where=node.where, hint=str(error)
            ) from None
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=len(events))


def _instants(name: str, values: list[Any]) -> pl.Series:
    """Instants as a column, by way of numbers: Polars takes a microsecond for a datetime."""
    numbers = [None if value is None else (value - EPOCH) // _MICROSECOND for value in values]
    return pl.Series(name, numbers, pl.Int64).cast(_INSTANT)


def to_python(node: Node) -> _Change | None:
    """What makes of a Polars value what pydantic takes; None if it does already."""
    if isinstance(node, Array):
        inner = to_python(node.item)
        return None if inner is None else _each(inner)
    if isinstance(node, Map):
        inner = to_python(node.value) or _same
        return lambda pairs: {
            pair["key"]: None if pair["value"] is None else inner(pair["value"]) for pair in pairs
        }
    if isinstance(node, Record):
        changes = {name: to_python(part) for name, part in node.fields.items()}
        busy = {name: change for name, change in changes.items() if change is not None}
        return _members(busy) if busy else None
    if isinstance(node, Union):
        branches = {name: to_python(part) or _same for name, part in node.branches.items()}
        return lambda value: next(
            (branches[name](part) for name, part in value.items() if part is not None), None
        )
    return None


def _members(changes: dict[str, _Change]) -> _Change:
    def change(value: dict[str, Any]) -> dict[str, Any]:
        for name, inner in changes.items():
            if value[name] is not None:
                value[name] = inner(value[name])
        return value

    return change


def _each(inner: _Change) -> _Change:
    return lambda items: [None if item is None else inner(item) for item in items]


def _same(value: Any) -> Any:
    return value


def _from_python(node: Node) -> _Change | None:
    """What makes of a field's value what Polars takes; None if it does already."""
    if isinstance(node, Array):
        inner = _from_python(node.item)
        return None if inner is None else _each(inner)
    if isinstance(node, Map):
        inner = _from_python(node.value) or _same
        return lambda value: [
            {"key": key, "value": None if item is None else inner(item)}
            for key, item in value.items()
        ]
    if isinstance(node, Record):
        fields = {name: _from_python(part) or _same for name, part in node.fields.items()}
        return lambda value: {
            name: None if (part := _member(value, name)) is None else change(part)
            for name, change in fields.items()
        }
    if isinstance(node, Union):
        branches = {name: _from_python(part) or _same for name, part in node.branches.items()}
        return lambda value: {(tag := _tag_of(value)): branches[tag](value)}
    if isinstance(node, Enumeration) or (isinstance(node, Scalar) and node.kind == "string"):
        return str if isinstance(node, Scalar) and node.uuid else _plain_text
    return None


def _plain_text(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, UUID) else value


def _member(value: Any, name: str) -> Any:
    return getattr(value, name) if isinstance(value, BaseModel) else value.get(name)


def _tag_of(value: BaseModel) -> str:
    return own_tag(type(value)) or type(value).__name__
