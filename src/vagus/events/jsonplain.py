"""JSON of plain records in columns: for schemas without lists, maps and nested types.

Polars reads and writes the objects; its reader is as strict as we are about numbers, truth values
and categories, and what it is lax about is looked at here. Where the result might not be the one
that is found value by value, there is none, and the batch is read that way.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from vagus.events.column import BytesColumn
from vagus.events.nodes import Decimal, Enumeration, Scalar, Temporal

if TYPE_CHECKING:
    from vagus.events.nodes import Node
    from vagus.events.schema import RecordSchema

__all__ = ["PlainJson"]

_INSTANT = pl.Datetime("us", "UTC")
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 (any zone)
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_HEX = "[0-9a-f]"


@dataclass(frozen=True)
class _Field:
    """How one field is read and written.

    `read` is the type that it is read as, `looks` what its text has to look like. `absent` is
    whether null is what its absence means.
    """

    node: Node
    read: Any
    looks: str | None
    absent: bool


class PlainJson:
    """Reads and writes the objects of one schema."""

    def __init__(self, fields: dict[str, _Field]) -> None:
        self._fields = fields

    @classmethod
    def of(cls, schema: RecordSchema) -> PlainJson | None:
        """None if the schema isn't plain."""
        fields = {}
        for name, node in schema.nodes.items():
            how = _reading(node)
            if how is None:
                return None
            avro = schema.fields[name].avro
            absent = (
                node.nullable
                and "default" in avro
                and avro["default"] is None
                and not avro.get("aliases")
            )
            fields[name] = _Field(node, *how, absent)
        return cls(fields) if fields else None

    def encode(self, frame: pl.DataFrame, head: dict[str, str]) -> BytesColumn | None:
        """A frame that fits the schema, each row as an object with `head` at its beginning."""
        columns = [pl.lit(value).alias(name) for name, value in head.items()]
        for name in self._fields:
            dtype = frame.schema[name]
            if dtype.is_temporal() and not _in_years(frame[name]):
                return None
            columns.append(_written(pl.col(name), dtype))
        texts = frame.select(pl.struct(columns).struct.json_encode()).to_series()
        array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        return BytesColumn(array.cast(pa.string()).view(pa.binary()))

    def decode(self, values: list[bytes | None]) -> list[pl.Series] | None:
        """The fields of objects, none of which is null; None if they must be read one by one."""
        if not values:
            return None
        # With these ends an object fills its line, and no other line.
        text = b"\n".join(values)  # type: ignore[arg-type]
        if text.count(b"}\n{") < len(values) - 1 or text[:1] != b"{" or text[-1:] != b"}":
            return None
        if b"\\ud" in text or b"\\uD" in text:
            return None  # half a character is taken for a whole one
        # Categories of their own are gone after it; those that all share might stay.
        own = pl.Categorical(pl.Categories.random())
        kinds = {
            name: own if isinstance(field.read, pl.Categorical) else field.read
            for name, field in self._fields.items()
        }
        try:
            frame = pl.read_ndjson(io.BytesIO(text), schema=kinds)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 (panics are no Exceptions)
            return None
        if frame.height != len(values):
            return None
        columns = []
        for name, field in self._fields.items():
            column = _column(frame[name], field)
            if column is None:
                return None
            columns.append(column)
        return columns


def _reading(node: Node) -> tuple[Any, str | None] | None:
    """What a field is read as, and what its text looks like; None if it isn't plain."""
    if isinstance(node, Scalar):
        if node.uuid:
            return pl.String(), f"^{_HEX}{{8}}-({_HEX}{{4}}-){{3}}{_HEX}{{12}}$"
        if node.kind == "string":
            return pl.Categorical(), None  # as text, numbers would pass for texts
        if node.kind in ("float", "double"):
            return pl.Float64(), None
        return None if node.kind == "bytes" else (node.dtype, None)
    if isinstance(node, Enumeration):
        return pl.Categorical(), None
    if isinstance(node, Temporal):
        if node.dtype == _INSTANT:
            return pl.String(), f"^{_DAY}T{_TIME}{_ZONE}$"
        return (pl.String(), f"^{_DAY}$") if node.dtype == pl.Date() else None
    if isinstance(node, Decimal):
        whole, scale = node.precision - node.scale, node.scale
        point = rf"(\.[0-9]{{1,{scale}}})?" if scale else ""
        return (pl.Categorical(), f"^-?[0-9]{{1,{whole}}}{point}$") if whole else None
    return None


def _column(read: pl.Series, field: _Field) -> pl.Series | None:
    node = field.node
    if read.null_count() and not field.absent:
        return None
    series = read.cast(pl.String) if isinstance(read.dtype, pl.Categorical) else read
    if field.looks is not None and not series.str.contains(field.looks).all():
        return None
    if isinstance(node, Enumeration):
        return series if series.drop_nulls().is_in(node.symbols).all() else None
    if series.dtype == pl.Float64:
        series = series.cast(node.dtype)
        return series if series.is_finite().all() else None
    if isinstance(node, Temporal):
        texts = series.to_arrow(compat_level=pl.CompatLevel.oldest())
        try:
            series = pl.Series(series.name, texts.cast(node.logical))
        except pa.ArrowInvalid:
            return None
        return series if _in_years(series) else None
    return series if series.dtype == node.dtype else series.cast(node.dtype, strict=False)


def _written(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if isinstance(dtype, pl.Datetime):
        text = column.dt.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        return text.str.replace(".000000Z", "Z", literal=True)
    if isinstance(dtype, pl.Decimal):
        return column.cast(pl.String)
    return column.cast(pl.Float64) if dtype == pl.Float32 else column


def _in_years(series: pl.Series) -> bool:
    """Whether all is in the years that a datetime of Python's can have, in any zone."""
    if series.dtype == pl.Date:
        days = series.is_between(_FIRST.date(), _LAST.date())
    else:
        days = series.dt.replace_time_zone(None).is_between(_FIRST, _LAST)
    return days.all()
