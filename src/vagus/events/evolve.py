"""Avro's schema resolution in columns: what was written with one schema, read as another.

Each function changes a logical column of the writer's type to one of the reader's. A value that
the reader's type can't hold (a null, an unknown symbol) marks its row as bad, and no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.errors import SchemaError
from vagus.events.nodes import (
    Array,
    BadRows,
    Decimal,
    Enumeration,
    Fixed,
    Map,
    Node,
    Record,
    Scalar,
    Temporal,
    Union,
    alive,
    nulls,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vagus.events.schema import RecordSchema

__all__ = ["match_fields", "resolve", "resolve_record"]

_WIDER = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_INSTANTS = {"timestamp-millis", "timestamp-micros", "timestamp-nanos"}
_LOCALS = {f"local-{kind}" for kind in _INSTANTS}
_CLOCKS = {"time-millis", "time-micros"}


def resolve_record(
    writer: RecordSchema, reader: RecordSchema, columns: list[pa.Array], count: int, bad: BadRows
) -> list[pa.Array]:
    """The reader's columns from the writer's. Raises SchemaError if that can't be done."""
    found = match_fields(list(writer.nodes), reader.fields)
    given = dict(zip(writer.nodes, columns, strict=True))
    result = []
    for name, node in reader.nodes.items():
        old = found.get(name)
        if old is not None:
            result.append(resolve(writer.nodes[old], node, given[old], None, bad))
        else:
            result.append(default_column(reader.fields[name].avro, node, count))
    return result


def match_fields(written: list[str], fields: Mapping[str, Any]) -> dict[str, str]:
    """For each of the reader's fields the writer's field that it is read from."""
    found = {}
    for name, part in fields.items():
        avro = getattr(part, "avro", part)
        for candidate in (name, *avro.get("aliases", ())):
            if candidate in written:
                found[name] = candidate
                break
    return found


def default_column(avro: Mapping[str, Any], node: Node, count: int) -> pa.Array:
    """A column of a field's default. Raises SchemaError if it has none."""
    if "default" not in avro:
        raise SchemaError(
            "expected a field that the events were written with, or a default",
            where=node.where,
            hint="give the new field a default",
        )
    return node.default_column(avro["default"], count)


def resolve(
    writer: Node, reader: Node, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    """One column of the reader's type from one of the writer's."""
    array = _resolve(writer, reader, array, rows, bad)
    if writer.nullable and not reader.nullable:
        reader.check_nulls(array, rows, bad)
    return array


def _resolve(
    writer: Node, reader: Node, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    if isinstance(writer, Union) or isinstance(reader, Union):
        return _union(writer, reader, array, rows, bad)
    if isinstance(writer, Record) and isinstance(reader, Record):
        return _record(writer, reader, array, rows, bad)
    if isinstance(writer, Array) and isinstance(reader, Array):
        w, r = writer.item, reader.item
        return Array.each(array, rows, lambda items, inner: resolve(w, r, items, inner, bad))
    if isinstance(writer, Map) and isinstance(reader, Map):
        pair_w = Record(writer.where, {"key": writer.key, "value": writer.value})
        pair_r = Record(reader.where, {"key": reader.key, "value": reader.value})
        return Array.each(
            array, rows, lambda items, inner: _record(pair_w, pair_r, items, inner, bad)
        )
    if isinstance(writer, Enumeration) and isinstance(reader, Enumeration):
        return _enumeration(reader, array, rows, bad)
    if not readable(writer, reader):
        raise SchemaError(
            f"expected a type that can be read as {describe(reader)}, got {describe(writer)}",
            where=reader.where,
            hint="keep the field's type, or add a new field with a default",
        )
    return _scalar(writer, reader, array, rows, bad)


def readable(writer: Node, reader: Node) -> bool:
    """Whether a plain type can be read as another."""
    if isinstance(writer, Decimal) and isinstance(reader, Decimal):
        same = (writer.precision, writer.scale) == (reader.precision, reader.scale)
        return same and writer.in_bytes == reader.in_bytes and writer.size == reader.size
    if isinstance(writer, Temporal) and isinstance(reader, Temporal):
        w, r = writer.logical_type, reader.logical_type
        return w == r or any({w, r} <= group for group in (_INSTANTS, _LOCALS, _CLOCKS))
    if type(writer) is Fixed and type(reader) is Fixed:
        return writer.size == reader.size
    if isinstance(writer, Scalar | Temporal) and isinstance(reader, Scalar | Temporal):
        return writer.kind == reader.kind or reader.kind in _WIDER.get(writer.kind, ())
    return False


def describe(node: Node) -> str:
    """A type, for people."""
    if isinstance(node, Decimal):
        return f"decimal({node.precision}, {node.scale})"
    if isinstance(node, Temporal):
        return node.logical_type
    if isinstance(node, Scalar):
        return "uuid" if node.uuid else node.kind
    if isinstance(node, Fixed):
        return f"fixed of {node.size} bytes"
    return {Array: "array", Map: "map", Record: "record", Enumeration: "enum", Union: "union"}[
        type(node)
    ]


def _scalar(
    writer: Node, reader: Node, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    if array.type == reader.logical:
        return array
    if isinstance(reader, Scalar) and isinstance(writer, Scalar):
        if (writer.kind, reader.kind) == ("string", "bytes"):
            return array.view(pa.binary())
        if (writer.kind, reader.kind) == ("bytes", "string"):
            return reader.read(array.view(pa.string()), rows, bad)
        return array.cast(reader.logical, safe=False)
    if isinstance(reader, Temporal) and isinstance(writer, Temporal):
        if {writer.logical_type, reader.logical_type} <= _INSTANTS | _LOCALS:
            return array.cast(reader.logical, safe=False)
        return array
    if isinstance(reader, Temporal):  # plain numbers, given a meaning
        return reader.read(array.cast(pa.int64()), rows, bad)
    if isinstance(writer, Temporal):  # the meaning taken off
        numbers = writer.write(array, rows, BadRows())
        return numbers.cast(reader.logical, safe=False)
    return array


def _enumeration(
    reader: Enumeration, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    if reader.default is None:
        reader.check(array, rows, bad)
        return array
    known = pc.is_in(array, pa.array(reader.symbols, pa.string()))
    return pc.if_else(pc.or_(known, array.is_null()), array, reader.default)


def _record(
    writer: Record, reader: Record, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    inner = alive(array, rows)
    given = dict(zip(writer.fields, array.flatten(), strict=True))
    found = match_fields(list(writer.fields), {n: reader.avro(n) for n in reader.fields})
    children = []
    for name, node in reader.fields.items():
        if name in found:
            old = found[name]
            children.append(resolve(writer.fields[old], node, given[old], inner, bad))
        else:
            children.append(default_column(reader.avro(name), node, len(array)))
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(children, list(reader.fields), mask=mask)


def _union(
    writer: Node, reader: Node, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows
) -> pa.Array:
    """Branch by branch; a branch that the reader lacks makes its rows bad."""
    count = len(array)
    outer = np.arange(count) if rows is None else rows
    if isinstance(writer, Union):
        sources = list(zip(writer.branches.items(), array.flatten(), strict=True))
    else:
        sources = [(("", writer), array)]
    if not isinstance(reader, Union):
        result = pa.nulls(count, reader.logical)
        for (_, branch), member in sources:
            given = ~nulls(member)
            if not given.any():
                continue
            if not _fits(branch, reader):
                bad.add(given, rows, reader.where, f"expected {describe(reader)}")
                continue
            changed = _resolve(branch, reader, member, np.where(given, outer, -1), bad)
            result = pc.if_else(pa.array(given), changed, result)
        return result
    members = {name: pa.nulls(count, node.logical) for name, node in reader.branches.items()}
    for (name, branch), member in sources:
        given = ~nulls(member)
        target = _branch(name, branch, reader)
        if target is None:
            bad.add(given, rows, reader.where, f"expected one of {', '.join(reader.branches)}")
            continue
        node = reader.branches[target]
        changed = _resolve(branch, node, member, np.where(given, outer, -1), bad)
        if changed.null_count == count - int(given.sum()):
            empty = members[target].null_count == count
            members[target] = (
                changed if empty else pc.if_else(pa.array(given), changed, members[target])
            )
    gone = np.all([nulls(member) for member in members.values()], axis=0)
    return pa.StructArray.from_arrays(
        list(members.values()), list(members), mask=pa.array(gone) if gone.any() else None
    )


def _branch(name: str, branch: Node, reader: Union) -> str | None:
    same = reader.branches.get(name)
    if same is not None and _fits(branch, same):
        return name
    if isinstance(branch, Record):
        return None  # records are told apart by name, not by shape
    return next((other for other, node in reader.branches.items() if _fits(branch, node)), None)


def _fits(writer: Node, reader: Node) -> bool:
    """Whether a type can be read as another, tried on no values."""
    try:
        _resolve(writer, reader, pa.nulls(0, writer.logical), None, BadRows())
    except SchemaError:
        return False
    return True


def frame_of(columns: list[pa.Array], schema: pl.Schema, count: int) -> pl.DataFrame:
    """Logical columns as a frame."""
    if not columns:
        return pl.DataFrame(height=count)
    frame = pl.DataFrame(
        [pl.Series(name, array) for name, array in zip(schema, columns, strict=True)]
    )
    return frame if frame.schema == schema else frame.cast(schema)
