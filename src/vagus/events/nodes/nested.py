"""Lists, maps and records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.events.nodes.base import BadRows, Names, Node, alive
from vagus.events.nodes.scalar import Scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Array", "Map", "Record"]


def _lengths(array: pa.Array) -> NDArray[np.int64]:
    if pa.types.is_map(array.type):
        # The library gives a null map no entries, so that the lengths add up to the entries.
        lengths: NDArray[np.int64] = np.diff(np.asarray(array.offsets)).astype(np.int64)
        return lengths
    counts = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(counts, dtype=np.int64)


def _offsets(lengths: NDArray[np.int64]) -> pa.Array:
    ends = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=ends[1:])
    return pa.array(ends)


def _inner_rows(rows: NDArray[np.int64] | None, lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    outer = np.arange(len(lengths)) if rows is None else rows
    return np.repeat(outer, lengths)


class Array(Node):
    """A list of items."""

    def __init__(self, where: str, item: Node) -> None:
        super().__init__(where, pl.List(item.dtype), pa.list_(item.logical))
        self.item = item
        self.fast = item.fast

    def plain_schema(self, names: Names) -> Any:
        return {"type": "array", "items": self.item.wrapped(self.item.plain_schema(names))}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        inner = self.item.library_schema(names, reading=reading)
        return {"type": "array", "items": self.item.wrapped(inner)}

    def plain_type(self) -> pa.DataType:
        return pa.list_(self.item.plain_type())

    def plain_value(self, value: Any) -> Any:
        return [None if item is None else self.item.plain_value(item) for item in value]

    def default_value(self, value: Any) -> Any:
        return [self.item.default_or_null(item) for item in value]

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        return self.each(array, rows, lambda items, inner: self.item.read(items, inner, bad))

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        return self.each(array, rows, lambda items, inner: self.item.write(items, inner, bad))

    @staticmethod
    def each(array: pa.Array, rows: NDArray[np.int64] | None, change: Any) -> pa.Array:
        """The same lists, of changed items."""
        lengths = _lengths(array)
        items = change(array.flatten(), _inner_rows(rows, lengths))
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(_offsets(lengths), items, mask=mask)


class Map(Node):
    """Values by text keys; a list of pairs in a frame."""

    def __init__(self, where: str, value: Node) -> None:
        pair = pl.Struct({"key": pl.String(), "value": value.dtype})
        logical = pa.struct([("key", pa.string()), ("value", value.logical)])
        super().__init__(where, pl.List(pair), pa.list_(logical))
        self.value = value
        self.key = Scalar(where, "string")
        self.fast = value.fast

    def plain_schema(self, names: Names) -> Any:
        return {"type": "map", "values": self.value.wrapped(self.value.plain_schema(names))}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        inner = self.value.library_schema(names, reading=reading)
        return {"type": "map", "values": self.value.wrapped(inner)}

    def plain_type(self) -> pa.DataType:
        pair = pa.struct([("key", pa.string()), ("value", self.value.plain_type())])
        return pa.list_(pair)

    def plain_value(self, value: Any) -> Any:
        return [
            {"key": key, "value": None if item is None else self.value.plain_value(item)}
            for key, item in value.items()
        ]

    def default_value(self, value: Any) -> Any:
        return [
            {"key": key, "value": self.value.default_or_null(item)} for key, item in value.items()
        ]

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        lengths = _lengths(array)
        inner = _inner_rows(rows, lengths)
        keys, values = _pairs(array)
        pairs = pa.StructArray.from_arrays(
            [self.key.read(keys, inner, bad), self.value.read(values, inner, bad)],
            ["key", "value"],
        )
        mask = array.is_null() if array.null_count else None
        return pa.ListArray.from_arrays(_offsets(lengths), pairs, mask=mask)

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        lengths = _lengths(array)
        inner = _inner_rows(rows, lengths)
        keys, values = _pairs(array)
        mask = array.is_null() if array.null_count else None
        keys = self.key.write(keys, inner, bad).fill_null("")  # nulls are noted, and no keys
        return pa.MapArray.from_arrays(
            _offsets(lengths), keys, self.value.write(values, inner, bad), mask=mask
        )


def _pairs(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    if not pa.types.is_map(array.type):
        keys, values = array.flatten().flatten()
        return keys, values
    ends = np.asarray(array.offsets)
    start, count = int(ends[0]), int(ends[-1] - ends[0])
    return array.keys.slice(start, count), array.items.slice(start, count)


class Record(Node):
    """Fields by name. `declared` holds what the schema says of each, such as its default."""

    def __init__(
        self, where: str, fields: dict[str, Node], declared: Sequence[dict[str, Any]] = ()
    ) -> None:
        dtype = pl.Struct({name: field.dtype for name, field in fields.items()})
        logical = pa.struct([(name, field.logical) for name, field in fields.items()])
        super().__init__(where, dtype, logical)
        self.fields = fields
        self._declared = {part["name"]: part for part in declared}
        self.fast = all(field.fast for field in fields.values())

    def avro(self, name: str) -> dict[str, Any]:
        """What the schema says of a field."""
        return self._declared.get(name, {})

    def plain_schema(self, names: Names) -> Any:
        fields = [
            {"name": name, "type": field.wrapped(field.plain_schema(names))}
            for name, field in self.fields.items()
        ]
        return {"type": "record", "name": names.new(), "fields": fields}

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        fields = [
            {"name": name, "type": field.wrapped(field.library_schema(names, reading=reading))}
            for name, field in self.fields.items()
        ]
        return {"type": "record", "name": names.new(), "fields": fields}

    def plain_type(self) -> pa.DataType:
        return pa.struct([(name, field.plain_type()) for name, field in self.fields.items()])

    def plain_value(self, value: Any) -> Any:
        return {
            name: None if value[name] is None else field.plain_value(value[name])
            for name, field in self.fields.items()
        }

    def default_value(self, value: Any) -> Any:
        return {name: field.default_or_null(value.get(name)) for name, field in self.fields.items()}

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        return self.each(array, rows, lambda f, child, inner: f.read(child, inner, bad))

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        self.check_nulls(array, rows, bad)
        return self.each(array, rows, lambda f, child, inner: f.write(child, inner, bad))

    def each(self, array: pa.Array, rows: NDArray[np.int64] | None, change: Any) -> pa.Array:
        """The same structs, of changed fields."""
        inner = alive(array, rows)
        children = [
            change(field, child, inner)
            for field, child in zip(
                # Not `flatten`, which gives children the nulls of their parent: unions can't
                # have any, and Arrow aborts.
                self.fields.values(),
                map(array.field, range(len(self.fields))),
                strict=True,
            )
        ]
        mask = array.is_null() if array.null_count else None
        return pa.StructArray.from_arrays(children, list(self.fields), mask=mask)
