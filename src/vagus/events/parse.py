"""From Avro JSON to the tree of nodes that reads and writes it."""

from __future__ import annotations

from typing import Any

from vagus.errors import SchemaError
from vagus.events.nodes import (
    TEMPORAL,
    Array,
    Decimal,
    Enumeration,
    Fixed,
    Map,
    Node,
    Record,
    Scalar,
    Temporal,
    Union,
)

__all__ = ["Definitions", "full_name", "node_of"]

_PRIMITIVES = {"boolean", "int", "long", "float", "double", "string", "bytes"}


class Definitions:
    """The named types seen so far, and the namespace that is in force."""

    def __init__(self) -> None:
        self.known: dict[str, Any] = {}
        self.open: set[str] = set()


def full_name(schema: dict[str, Any], namespace: str = "") -> tuple[str, str]:
    """A named type's full name, and its namespace."""
    name = str(schema.get("name", ""))
    if "." in name:
        return name, name.rpartition(".")[0]
    namespace = schema.get("namespace", namespace) or ""
    return (f"{namespace}.{name}" if namespace else name), namespace


def node_of(kind: Any, where: str, names: Definitions, namespace: str = "") -> Node:
    """The node of an Avro type. Raises SchemaError for what has no form in columns."""
    if isinstance(kind, list):
        return _union(kind, where, names, namespace)
    if isinstance(kind, str):
        if kind in _PRIMITIVES:
            return Scalar(where, kind)
        if kind == "null":
            raise SchemaError(
                "expected a type that holds something, got null",
                where=where,
                hint="use a union of null and another type",
            )
        full = kind if "." in kind or not namespace else f"{namespace}.{kind}"
        definition = names.known.get(full) or names.known.get(kind)
        if definition is None:
            raise SchemaError(f"expected an Avro type, got {kind!r}", where=where)
        if full in names.open or kind in names.open:
            raise SchemaError(
                f"expected a type that doesn't contain itself, got {kind}",
                where=where,
                hint="columns have no recursive types",
            )
        schema, outer = definition
        return node_of(schema, where, names, outer)
    if not isinstance(kind, dict) or "type" not in kind:
        raise SchemaError(f"expected an Avro type, got {kind!r}", where=where)
    base = kind["type"]
    if base in ("record", "error", "enum", "fixed"):
        full, inner = full_name(kind, namespace)
        names.known[full] = (kind, namespace)
        if base == "enum":
            return Enumeration(where, kind["symbols"], kind.get("default"))
        if base == "fixed":
            return _fixed(kind, where)
        names.open.add(full)
        fields = {
            field["name"]: node_of(field["type"], f"{where}.{field['name']}", names, inner)
            for field in kind["fields"]
        }
        names.open.discard(full)
        if not fields:
            raise SchemaError("expected a record with fields, got none", where=where)
        return Record(where, fields, kind["fields"])
    if base == "array":
        return Array(where, node_of(kind["items"], f"{where}[]", names, namespace))
    if base == "map":
        return Map(where, node_of(kind["values"], f"{where}{{}}", names, namespace))
    logical = kind.get("logicalType")
    if logical in TEMPORAL and TEMPORAL[logical][0] == base:
        return Temporal(where, logical)
    if logical == "decimal" and base == "bytes" and _is_decimal(kind):
        return Decimal(where, None, kind["precision"], kind.get("scale", 0))
    if logical == "uuid" and base == "string":
        return Scalar(where, "string", uuid=True)
    return node_of(base, where, names, namespace)


def _is_decimal(kind: dict[str, Any]) -> bool:
    """Whether a decimal fits Polars'; a reader is free to see the bytes instead."""
    precision, scale = int(kind.get("precision", 0)), int(kind.get("scale", 0))
    return 0 < precision <= 38 and 0 <= scale <= precision


def _fixed(kind: dict[str, Any], where: str) -> Node:
    if kind.get("logicalType") == "decimal" and _is_decimal(kind):
        return Decimal(where, kind["size"], kind["precision"], kind.get("scale", 0))
    if kind["size"] < 1:
        raise SchemaError("expected a fixed of at least one byte", where=where)
    return Fixed(where, kind["size"])


def _union(kinds: list[Any], where: str, names: Definitions, namespace: str) -> Node:
    place = kinds.index("null") if "null" in kinds else None
    others = [kind for kind in kinds if kind != "null"]
    if not others:
        raise SchemaError("expected a union of something, got only null", where=where)
    if len(others) == 1:
        node = node_of(others[0], where, names, namespace)
        if place is not None:
            node.nullable, node.null_first = True, place == 0
        return node
    branches: dict[str, Node] = {}
    for kind in others:
        node = node_of(kind, where, names, namespace)
        name = _branch_name(kind, names, namespace)
        node.where = f"{where}.{name}"
        branches[name] = node
    return Union(where, branches, place)


def _branch_name(kind: Any, names: Definitions, namespace: str) -> str:
    if isinstance(kind, str) and kind not in _PRIMITIVES:
        full = kind if "." in kind or not namespace else f"{namespace}.{kind}"
        kind = (names.known.get(full) or names.known[kind])[0]
    if isinstance(kind, str):
        return kind
    return str(kind.get("tag") or str(kind.get("name") or kind["type"]).rpartition(".")[2])
