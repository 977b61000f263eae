"""Making events of frames without checking again what the types of the columns already say.

A column of 64-bit numbers holds valid `int`s, whatever they are. Fields of such types are taken as
they are; the others are checked by pydantic, a column at a time. Classes with anything of their
own (validators, constraints, initialisers) are not made here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
from pydantic_core import SchemaValidator, ValidationError, core_schema

from vagus.events.schema import RecordSchema

if TYPE_CHECKING:
    from vagus.events.event import Event
    from vagus.events.nodes import Node

__all__ = ["EPOCH", "Maker", "maker_of"]

E = TypeVar("E", bound="Event")
_Values = Callable[[pl.Series], list[Any]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HARMLESS = {
    "title": None,
    "extra_fields_behavior": {"forbid", "ignore"},
    "validate_by_alias": None,
    "validate_by_name": None,
}
_PASSIVE = {"type", "ref", "metadata", "serialization", "strict", "microseconds_precision"}
# What pydantic checks, the constraints that a column's type sees to, and that type.
_PLAIN: dict[str, tuple[set[str], type[pl.DataType]]] = {
    "str": (set(), pl.String),
    "int": (set(), pl.Int64),
    "float": (set(), pl.Float64),
    "bool": (set(), pl.Boolean),
    "bytes": (set(), pl.Binary),
    "date": (set(), pl.Date),
    "time": (set(), pl.Time),
    "timedelta": (set(), pl.Duration),
    "datetime": ({"tz_constraint"}, pl.Datetime),
    "decimal": ({"max_digits", "decimal_places"}, pl.Decimal),
}


class Unfit(Exception):
    """The frame doesn't say enough: events must be made with all checks."""


@dataclass(frozen=True)
class _Part:
    """How one field's values are made of its column."""

    dtype: pl.DataType
    nullable: bool
    values: _Values


class Maker:
    """Makes events of one class."""

    def __init__(self, event_type: Any, parts: dict[str, _Part]) -> None:
        self._type = event_type
        self._parts = parts
        self._dict = _dict_of(parts)

    def make(self, frame: pl.DataFrame) -> list[Any] | None:
        """The rows as events, or None if they have to be checked one by one."""
        columns = []
        for name, part in self._parts.items():
            series = frame[name] if name in frame.columns else None
            if series is None or series.dtype != part.dtype:
                return None
            if series.null_count() and not part.nullable:
                return None
            try:
                columns.append(part.values(series))
            except (Unfit, ValidationError, ValueError, OverflowError):
                return None
        new, given = self._type.__new__, set(self._parts)
        events = []
        for values in map(self._dict, *columns):
            event = new(self._type)
            # What pydantic's own `model_construct` sets, without looking for defaults. An event
            # doesn't change, so that all can share what says which fields were given.
            _set(event, "__dict__", values)
            _set(event, "__pydantic_fields_set__", given)
            _set(event, "__pydantic_extra__", None)
            _set(event, "__pydantic_private__", None)
            events.append(event)
        return events


_set = object.__setattr__


def _dict_of(names: Iterable[str]) -> Callable[..., dict[str, Any]]:
    """A function of a dict's values, in half the time that `dict(zip(...))` takes."""
    pairs = [(f"v{place}", repr(name)) for place, name in enumerate(names)]
    given = ", ".join(value for value, _ in pairs)
    items = ", ".join(f"{name}: {value}" for value, name in pairs)
    made: Callable[..., dict[str, Any]] = eval(f"lambda {given}: {{{items}}}")
    return made


@lru_cache(maxsize=256)
def maker_of(event_type: type[Any]) -> Maker | None:
    """What makes events of a class, or None if each has to be checked."""
    core = event_type.__pydantic_core_schema__
    definitions: list[Any] = []
    if core["type"] == "definitions":
        definitions, core = core["definitions"], core["schema"]
    if core["type"] != "model" or core.get("custom_init") or core.get("post_init"):
        return None
    config = core.get("config", {})
    for key, value in config.items():
        allowed = _HARMLESS.get(key, set())
        if allowed is not None and value not in allowed:
            return None
    fields = core["schema"]
    if fields["type"] != "model-fields" or not fields["fields"]:
        return None
    if _has_functions(fields) or any(map(_has_functions, definitions)):
        return None
    schema = RecordSchema.of(event_type).plain
    parts = {}
    for name, field in fields["fields"].items():
        node = schema.nodes[name]
        values = _plain(field["schema"], node.dtype)
        if values is None:
            values = _checked(field["schema"], node, definitions, config)
        parts[name] = _Part(node.dtype, node.nullable, values)
    return Maker(event_type, parts)


def _has_functions(schema: Any) -> bool:
    """Whether code of the user's runs in a check: it may look at other fields."""
    if isinstance(schema, list | tuple):
        return any(map(_has_functions, schema))
    if not isinstance(schema, dict):
        return False
    if str(schema.get("type", "")).startswith("function"):
        return True
    return any(
        _has_functions(part)
        for key, part in schema.items()
        if key not in ("metadata", "serialization", "computed_fields")
    )


def _plain(schema: Any, dtype: pl.DataType) -> _Values | None:
    """What makes values that need no check; None if they need one."""
    while schema["type"] in ("nullable", "default", "custom-error"):
        schema = schema["schema"]
    kind = schema["type"]
    if kind == "literal":
        return _one_of({each: each for each in schema["expected"]})
    if kind == "enum":
        return _one_of({each.value: each for each in schema["members"]})
    given, known = _PLAIN.get(kind, (set(), None))
    if known is None or not isinstance(dtype, known) or not set(schema) <= _PASSIVE | given:
        return None
    return _instants if kind == "datetime" else pl.Series.to_list


def _one_of(members: dict[Any, Any]) -> _Values:
    def values(series: pl.Series) -> list[Any]:
        known = {None: None, **members}
        if not set(series.unique()) <= set(known):
            raise Unfit
        return list(map(known.__getitem__, series))

    return values


def _instants(series: pl.Series) -> list[Any]:
    """Datetimes in UTC: through NumPy, since Polars makes one with a zone in a microsecond."""
    numbers = series.to_physical().fill_null(0).to_numpy()
    found: list[Any] = [EPOCH + span for span in numbers.view("m8[us]").astype(object).tolist()]
    if series.null_count():
        for row in np.flatnonzero(series.is_null().to_numpy()).tolist():
            found[row] = None
    return found


def _checked(schema: Any, node: Node, definitions: list[Any], config: Any) -> _Values:
    from vagus.events.rows import to_python

    whole: Any = core_schema.list_schema(schema)
    if definitions:
        whole = core_schema.definitions_schema(whole, definitions)
    validator = SchemaValidator(whole, config)
    change = to_python(node)

    def values(series: pl.Series) -> list[Any]:
        given = series.to_list()
        if change is not None:
            given = [None if value is None else change(value) for value in given]
        found: list[Any] = validator.validate_python(given)
        return found

    return values
