"""Rows of views: typed, immutable, and always fit to be stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from vagus.errors import DeclarationError, VagusError
from vagus.events.personalmodel import personal_fields
from vagus.services.views.columns import Column, column_of, personal_column
from vagus.services.views.errors import UnknownField

if TYPE_CHECKING:
    from vagus.events.encrypting import Encrypting

__all__ = ["Row", "RowType"]

_INT_MAX = (1 << 63) - 1
_ZONE_HINT = (
    "expected a datetime with a time zone, such as 2026-01-31T12:00:00Z or datetime.now(UTC)"
)


def _storable(schema: Any) -> Any:
    """The core schema, allowing only what SQLite gives back as it was."""
    if isinstance(schema, list):
        return [_storable(part) for part in schema]
    if isinstance(schema, tuple):
        return tuple(_storable(part) for part in schema)
    if not isinstance(schema, dict):
        return schema
    kind = schema.get("type")
    if kind == "datetime":
        aware: Any = {**schema, "tz_constraint": "aware"}
        return core_schema.custom_error_schema(
            aware, "datetime_without_zone", custom_error_message=_ZONE_HINT
        )
    if kind == "int":
        bounded = {"le": _INT_MAX, "ge": -_INT_MAX - 1}
        return {**bounded, **schema}
    return {key: _storable(part) if key != "metadata" else part for key, part in schema.items()}


class Row(BaseModel):
    """What a view keeps for a key. Subclass it and declare fields.

    Rows don't change: a new one takes the place of the old. Datetimes need a time zone, whole
    numbers fit into 64 bits, numbers are finite. Text, numbers, times, dates, spans, decimals,
    UUIDs, bytes, enums and literals can be filtered and sorted by; anything else that pydantic
    knows is kept, and read back, as a whole.

    >>> class OrderRow(Row):
    ...     order_id: str
    ...     total: float = 0.0
    >>> OrderRow(order_id="a")
    OrderRow(order_id='a', total=0.0)
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        ser_json_bytes="base64",
        ser_json_timedelta="iso8601",
    )

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema: core_schema.CoreSchema = _storable(handler(source))
        return schema


_set = object.__setattr__
R = TypeVar("R", bound=Row)


class RowType(Generic[R]):
    """A row class, as it is stored."""

    def __init__(self, model: type[R]) -> None:
        self.model = model
        self.personal = personal_fields(model)
        self.columns: dict[str, Column] = {
            name: (personal_column if name in self.personal else column_of)(name, info.annotation)
            for name, info in model.model_fields.items()
        }
        self._new = model.__new__
        self._given = set(self.columns)
        self._decoders = [
            (name, column.decode, column.nullable)
            for name, column in self.columns.items()
            if column.decode is not None
        ]

    @classmethod
    def of(cls, model: type[R]) -> RowType[R]:
        """How rows of this class are stored. Raises DeclarationError if they can't be."""
        given: Any = model
        if not (isinstance(given, type) and issubclass(given, Row)):
            raise DeclarationError(
                f"expected a row class, got {model!r}", hint="class OrderRow(vg.Row): ..."
            )
        if not model.__pydantic_complete__:
            model.model_rebuild()
        for name in model.model_fields:
            if name.startswith("_"):
                raise DeclarationError(
                    "expected names without a leading underscore", where=f"{model.__name__}.{name}"
                )
        return _row_type(model)

    @cached_property
    def shape(self) -> list[list[Any]]:
        """What is stored, to be compared with what another version stored."""
        return [
            [name, column.kind, column.nullable, list(column.values)]
            for name, column in self.columns.items()
        ]

    def column(self, name: str, view: str) -> Column:
        """The column of a field. Raises UnknownField."""
        found = self.columns.get(name)
        if found is None:
            raise UnknownField(name, self.columns, view=view)
        return found

    def stored(self, rows: Sequence[R], seq: int, keys: Encrypting) -> Iterable[tuple[Any, ...]]:
        """Rows as they are stored, each with the number of its commit."""
        plain = [row.__dict__ for row in rows]
        columns = {
            name: column.encoded([values[name] for values in plain])
            for name, column in self.columns.items()
        }
        for name, person in self.personal.items():
            columns[name] = keys.seal_texts(name, columns[name], [row[person] for row in plain])
        return zip(*columns.values(), repeat(seq, len(plain)), strict=True)

    def make(self, stored: Iterable[tuple[Any, ...]], keys: Encrypting) -> list[R]:
        """Rows of what was stored. They were checked when they were written."""
        found = []
        names, decoders = list(self.columns), self._decoders
        for values in stored:
            fields = dict(zip(names, values, strict=False))
            for name in self.personal:
                fields[name] = keys.open_text(name, fields[name])
            for name, decode, nullable in decoders:
                if not nullable or fields[name] is not None:
                    fields[name] = decode(fields[name])
            row = self._new(self.model)
            _set(row, "__dict__", fields)
            _set(row, "__pydantic_fields_set__", self._given)
            _set(row, "__pydantic_extra__", None)
            _set(row, "__pydantic_private__", None)
            found.append(row)
        return found

    def changed(self, row: R, changes: dict[str, Any], view: str) -> R:
        """The row with other values. Raises UnknownField, or VagusError for a wrong value."""
        for name in changes:
            if name not in self.columns:
                raise UnknownField(name, self.columns, view=view)
        try:
            made: R = self.model.__pydantic_validator__.validate_python({**row.__dict__, **changes})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise VagusError(
                f"{first['msg']}, got {first.get('input')!r}", where=f"view {view!r}, field {where}"
            ) from None
        return made


@lru_cache(maxsize=256)
def _row_type(model: type[Any]) -> RowType[Any]:
    return RowType(model)
