"""Columns: how the fields of a row are kept in SQLite, and found again.

Whatever can be compared is kept so that SQLite compares it as Python does: times as microseconds,
dates as ISO 8601, decimals as text with a collation of their own. Nested values are JSON.
"""

from __future__ import annotations

import types
import typing
from base64 import urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter, ValidationError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Column", "column_of", "compare_decimals", "personal_column"]

Encode = Callable[[Any], Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
DECIMAL = "vagus_decimal"

_KINDS: dict[Any, str] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    bytes: "bytes",
    datetime: "datetime",
    date: "date",
    time: "time",
    timedelta: "timedelta",
    Decimal: "decimal",
    UUID: "uuid",
}
_SQL = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER", "bytes": "BLOB"}
_SQL |= {"datetime": "INTEGER", "timedelta": "INTEGER", "decimal": f"TEXT COLLATE {DECIMAL}"}


def compare_decimals(one: str, other: str) -> int:
    """SQLite's collation for decimals."""
    if one == other:
        return 0
    left, right = Decimal(one), Decimal(other)
    return (left > right) - (left < right)


@dataclass(frozen=True)
class Column:
    """One field of a row, as it is stored."""

    name: str
    kind: str
    nullable: bool
    sql: str
    encode: Encode | None
    decode: Encode | None
    adapter: TypeAdapter[Any]
    values: tuple[Any, ...] = ()

    @property
    def comparable(self) -> bool:
        """Whether rows can be filtered and sorted by it."""
        return self.kind not in ("json", "personal")

    def valid(self, value: Any) -> Any:
        """A value of the field's type, not None. Raises ValueError."""
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            raise ValueError(_expected(self, error)) from None

    def stored(self, value: Any) -> Any:
        """A valid value as it is stored."""
        return value if self.encode is None or value is None else self.encode(value)

    def read(self, text: str) -> Any:
        """What a text in an address means, as a Python value. Raises ValueError."""
        if self.nullable and text == "null":
            return None
        try:
            if self.kind == "bytes":
                return urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return self.adapter.validate_strings(text)
        except ValidationError as error:
            raise ValueError(_expected(self, error)) from None
        except ValueError:
            raise ValueError("bytes in base64") from None

    def encoded(self, values: list[Any]) -> list[Any]:
        """Valid values as they are stored."""
        encode = self.encode
        if encode is None:
            return values
        if self.nullable:
            return [None if value is None else encode(value) for value in values]
        return [encode(value) for value in values]

    def series(self, series: pl.Series) -> pl.Series:
        """A column of a frame as it is stored. Raises ValueError if it doesn't fit."""
        return _series(self, series)

    def logical(self, series: pl.Series) -> pl.Series:
        """A column as it was stored, as a frame has it; decimals, UUIDs and JSON stay text."""
        import polars as pl

        if self.kind == "date":
            return series.str.to_date("%Y-%m-%d")
        if self.kind == "time":
            return series.str.to_time("%H:%M:%S%.6f")
        if self.kind in ("datetime", "timedelta", "bool"):
            return series.cast(_DTYPES[self.kind]())
        return series.cast(pl.String) if series.dtype == pl.Null else series


def personal_column(name: str, annotation: Any) -> Column:
    """How a personal field is stored: as JSON, which is then encrypted."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    encode, decode = _json_of(adapter), adapter.validate_json
    return Column(name, "personal", True, "TEXT", encode, decode, adapter)


def column_of(name: str, annotation: Any) -> Column:
    """How a field is stored."""
    kind, nullable = _plain(annotation)
    values: tuple[Any, ...] = ()
    encode: Encode | None = None
    decode: Encode | None = None
    found = _KINDS.get(kind)
    # A filter may go beyond what a field's constraints allow: only its type counts.
    plain = AwareDatetime if kind is datetime else kind
    adapter: TypeAdapter[Any] = TypeAdapter(_optional(plain))
    if found is None:
        members = _members(kind)
        if members is not None:
            values = tuple(
                member.value if isinstance(member, Enum) else member for member in members
            )
            found = "int" if isinstance(values[0], int) else "str"
            if isinstance(members[0], Enum):
                encode, decode = _value_of, {m.value: m for m in members}.__getitem__
        else:
            found = "json"
            adapter = TypeAdapter(annotation)
            encode = _json_of(adapter)
            decode = adapter.validate_json
    else:
        encode, decode = _CODECS.get(found, (None, None))
    sql = _SQL.get(found, "TEXT")
    return Column(name, found, nullable, sql, encode, decode, adapter, values)


def _optional(kind: Any) -> Any:
    return Optional[kind]  # noqa: UP045 - of a type that is known only now


def _plain(annotation: Any) -> tuple[Any, bool]:
    """The type without its notes, and whether it may be None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if hasattr(annotation, "__value__"):
        return _plain(annotation.__value__)
    if hasattr(annotation, "__supertype__"):
        return _plain(annotation.__supertype__)
    if get_origin(annotation) in (Union, types.UnionType):
        inside = [part for part in get_args(annotation) if part is not type(None)]
        nullable = len(inside) < len(get_args(annotation))
        if len(inside) == 1:
            kind, inner = _plain(inside[0])
            return kind, nullable or inner
        return annotation, nullable
    return annotation, annotation in (Any, object)


def _members(kind: Any) -> list[Any] | None:
    """The values of an Enum or a Literal, if they are all text or all numbers."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        members: list[Any] = list(kind)
        plain = [member.value for member in members]
    elif get_origin(kind) is Literal:
        members = list(typing.get_args(kind))
        if any(isinstance(member, Enum) for member in members):
            return None
        plain = members
    else:
        return None
    types_ = {type(value) for value in plain}
    return members if types_ in ({str}, {int}) else None


def _expected(column: Column, error: ValidationError) -> str:
    if column.values:
        return "one of " + ", ".join(map(str, column.values))
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{_NAMES[column.kind]} ({first['msg']})"


_NAMES = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "bytes": "bytes in base64",
    "datetime": "a time with its zone, such as 2026-05-01T12:00:00Z",
    "date": "a date such as 2026-05-01",
    "time": "a time of day such as 12:00:00",
    "timedelta": "a span such as PT15M",
    "decimal": "a decimal number",
    "uuid": "a UUID",
    "json": "a nested value",
    "personal": "a value",
}


def _value_of(member: Any) -> Any:
    return member.value


def _json_of(adapter: TypeAdapter[Any]) -> Encode:
    dump = adapter.dump_json

    def encode(value: Any) -> str:
        return dump(value).decode()

    return encode


def _micros(moment: datetime) -> int:
    span = moment - _EPOCH
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _span_micros(span: timedelta) -> int:
    return (span.days * 86_400 + span.seconds) * 1_000_000 + span.microseconds


def _moment(stamp: int) -> datetime:
    return _EPOCH + timedelta(microseconds=stamp)


def _span(stamp: int) -> timedelta:
    return timedelta(microseconds=stamp)


def _decimal_text(value: Decimal) -> str:
    return format(value, "f")


def _time_text(value: time) -> str:
    return value.isoformat("microseconds")


_CODECS: dict[str, tuple[Encode | None, Encode | None]] = {
    "bool": (None, bool),
    "datetime": (_micros, _moment),
    "date": (date.isoformat, date.fromisoformat),
    "time": (_time_text, time.fromisoformat),
    "timedelta": (_span_micros, _span),
    "decimal": (_decimal_text, Decimal),
    "uuid": (str, UUID),
}


def _series(column: Column, series: pl.Series) -> pl.Series:
    import polars as pl

    found = series.null_count()
    if found and not column.nullable:
        raise ValueError("no nulls")
    kind = column.kind
    if kind in ("json", "personal"):
        encode = column.encode
        assert encode is not None
        texts = kind == "json" and series.dtype == pl.String and column.adapter.validate_json
        valid = texts or column.adapter.validate_python
        try:
            values = [None if v is None else encode(valid(v)) for v in series.to_list()]
        except ValidationError as error:
            raise ValueError(_expected(column, error)) from None
        return pl.Series(series.name, values, dtype=pl.String)
    wanted = _DTYPES[kind]()
    try:
        cast = series if series.dtype == wanted else _cast(series, wanted, kind)
    except pl.exceptions.PolarsError as error:
        raise ValueError(f"{wanted}, got {series.dtype}: {error}") from None
    if kind == "float" and not cast.is_finite().fill_null(True).all():
        raise ValueError("finite numbers")
    if column.values and not cast.drop_nulls().is_in(list(column.values)).all():
        raise ValueError("one of " + ", ".join(map(str, column.values)))
    if kind in ("datetime", "timedelta"):
        return cast.to_physical()
    if kind == "date":
        return cast.dt.to_string("%Y-%m-%d")
    if kind == "time":
        return cast.dt.to_string("%H:%M:%S%.6f")
    return cast


def _cast(series: pl.Series, wanted: pl.DataType, kind: str) -> pl.Series:
    import polars as pl

    given = series.dtype
    if kind == "datetime" and getattr(given, "time_zone", None) is None and given != pl.Null:
        raise ValueError(f"times with a zone, got {given}")
    if kind == "decimal" and given.is_float():
        raise ValueError(f"decimals or whole numbers, got {given}: cast them as you mean it")
    if kind == "int" and not given.is_integer() and given != pl.Null:
        raise ValueError(f"whole numbers, got {given}: cast them as you mean it")
    return series.cast(wanted)


def _dtypes() -> dict[str, Callable[[], Any]]:
    def lazily(make: Callable[[Any], Any]) -> Callable[[], Any]:
        def made() -> Any:
            import polars as pl

            return make(pl)

        return made

    return {
        "str": lazily(lambda pl: pl.String()),
        "uuid": lazily(lambda pl: pl.String()),
        "int": lazily(lambda pl: pl.Int64()),
        "float": lazily(lambda pl: pl.Float64()),
        "bool": lazily(lambda pl: pl.Boolean()),
        "bytes": lazily(lambda pl: pl.Binary()),
        "datetime": lazily(lambda pl: pl.Datetime("us", "UTC")),
        "date": lazily(lambda pl: pl.Date()),
        "time": lazily(lambda pl: pl.Time()),
        "timedelta": lazily(lambda pl: pl.Duration("us")),
        "decimal": lazily(lambda pl: pl.String()),
    }


_DTYPES = _dtypes()
