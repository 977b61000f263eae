"""Rows as JSON, and the JSON schema of them.

Times are ISO 8601 in UTC, spans ISO 8601 durations, decimals text, bytes base64 (the alphabet that
fits into addresses), maps objects, and numbers that JSON doesn't have "NaN" and "Infinity".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic_core import to_json

from vagus.events.nodes import Array, Enumeration, Map, Node, Record, Union
from vagus.events.rows import to_python

if TYPE_CHECKING:
    from vagus.streams import View


def json_bytes(value: Any) -> bytes:
    """A plain value as JSON."""
    return to_json(value, bytes_mode="base64", timedelta_mode="iso8601", inf_nan_mode="strings")


class RowForm:
    """How the rows of a view are written."""

    def __init__(self, view: View) -> None:
        self.columns = dict(view.columns)
        self._nodes: dict[str, Node] = {}
        for schema in view.topic.schemas:
            self._nodes.update(schema.plain.nodes)
        self._changes = [
            (name, change)
            for name in self.columns
            if name in self._nodes and (change := to_python(self._nodes[name])) is not None
        ]

    def plain(self, rows: Iterable[tuple[Any, ...]]) -> list[dict[str, Any]]:
        """Rows, in the order of the columns, as what `json_bytes` takes."""
        found = [dict(zip(self.columns, row, strict=True)) for row in rows]
        for name, change in self._changes:
            for row in found:
                if row[name] is not None:
                    row[name] = change(row[name])
        return found

    def schema(self) -> dict[str, Any]:
        """The JSON schema of a row."""
        properties = {}
        for name, dtype in self.columns.items():
            node = self._nodes.get(name)
            properties[name] = _of_dtype(dtype) if node is None else _of_node(node)
        return {"type": "object", "required": list(properties), "properties": properties}


def _of_node(node: Node) -> dict[str, Any]:
    found = _of_plain_node(node)
    return {"anyOf": [found, {"type": "null"}]} if node.nullable else found


def _of_plain_node(node: Node) -> dict[str, Any]:
    if isinstance(node, Array):
        return {"type": "array", "items": _of_node(node.item)}
    if isinstance(node, Map):
        return {"type": "object", "additionalProperties": _of_node(node.value)}
    if isinstance(node, Record):
        parts = {name: _of_node(part) for name, part in node.fields.items()}
        return {"type": "object", "required": list(parts), "properties": parts}
    if isinstance(node, Union):
        return {"oneOf": [_of_node(branch) for branch in node.branches.values()]}
    if isinstance(node, Enumeration):
        return {"type": "string", "enum": list(node.symbols)}
    return _of_dtype(node.dtype)


def _of_dtype(dtype: pl.DataType) -> dict[str, Any]:
    for kind, schema in _SCALARS:
        if isinstance(dtype, kind):
            return dict(schema)
    if dtype.is_integer():
        return {"type": "integer", "format": "int64"}
    if dtype.is_float():
        return {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
    if isinstance(dtype, pl.List):
        return {"type": "array"}
    return {"type": "object" if isinstance(dtype, pl.Struct) else "string"}


_SCALARS: list[tuple[type[pl.DataType], dict[str, Any]]] = [
    (pl.Boolean, {"type": "boolean"}),
    (pl.Datetime, {"type": "string", "format": "date-time"}),
    (pl.Date, {"type": "string", "format": "date"}),
    (pl.Time, {"type": "string", "format": "time"}),
    (pl.Duration, {"type": "string", "format": "duration"}),
    (pl.Decimal, {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}),
    (pl.Binary, {"type": "string", "contentEncoding": "base64url"}),
]
