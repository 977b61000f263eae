"""Schemas of events: the columns of their frames and their Avro records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from vagus.errors import DeclarationError, SchemaError
from vagus.events.declare import avro_record, fixed_size
from vagus.events.parse import Definitions, full_name, node_of
from vagus.events.personal import PROPERTY, Mark, marks_of

if TYPE_CHECKING:
    from vagus.events.event import Event
    from vagus.events.nodes import Node

__all__ = ["Field", "RecordSchema"]


@dataclass(frozen=True)
class Field:
    """One field: its name, its Polars type, whether it may be null, and its Avro form.

    >>> Field.of("speed_kmh", pl.Float64()).avro
    {'name': 'speed_kmh', 'type': ['null', 'double'], 'default': None}
    """

    name: str
    dtype: pl.DataType
    nullable: bool
    avro: Mapping[str, Any] = field(hash=False)

    @classmethod
    def of(cls, name: str, dtype: Any, nullable: bool = True) -> Self:
        """The field for a column that comes from no class.

        Its `dtype` is the one that is read back: small integers become Int32 or Int64,
        categories become String. Raises DeclarationError for a type that can't be written.
        """
        kind = _avro_of(dtype() if isinstance(dtype, type) else dtype, name, name)
        avro: dict[str, Any] = {"name": name, "type": kind}
        if nullable:
            avro = {"name": name, "type": ["null", kind], "default": None}
        return cls(name, node_of(kind, name, Definitions()).dtype, nullable, avro)

    def derived(self, name: str, *, nullable: bool | None = None) -> Field:
        """A column of the same values under another name: its type, without docs and defaults.

        What is personal stays so.
        """
        made = Field.of(name, self.dtype, self.nullable if nullable is None else nullable)
        if PROPERTY not in self.avro:
            return made
        return replace(made, avro={**made.avro, PROPERTY: self.avro[PROPERTY]})


class RecordSchema:
    """The schema of one type of event. Immutable; equal if the Avro schemas are.

    >>> schema = RecordSchema.build("Speed", [Field.of("kmh", pl.Float64(), nullable=False)])
    >>> schema.json
    '{"type":"record","name":"Speed","fields":[{"name":"kmh","type":"double"}]}'
    >>> schema.columns
    Schema([('kmh', Float64)])
    """

    def __init__(self, avro: Mapping[str, Any], event_type: type[Event] | None = None) -> None:
        self._avro = avro
        self.name, namespace = full_name(dict(avro))
        self.event_type = event_type
        self.json = json.dumps(avro, separators=(",", ":"), ensure_ascii=False)
        names = Definitions()
        names.known[self.name] = (avro, "")
        names.open.add(self.name)
        nodes: dict[str, Node] = {}
        fields: dict[str, Field] = {}
        seen: dict[str, Any] = {}
        for part in avro["fields"]:
            name = part["name"]
            node = node_of(part["type"], f"{self.name}.{name}", names, namespace)
            nodes[name] = node
            whole = {**part, "type": _inlined(part["type"], seen, namespace)}
            fields[name] = Field(name, node.dtype, node.nullable, whole)
        self.nodes: Mapping[str, Node] = MappingProxyType(nodes)
        self.fields: Mapping[str, Field] = MappingProxyType(fields)

    @classmethod
    def of(cls, event_type: type[Event]) -> RecordSchema:
        """The schema of an event class. Raises DeclarationError if it can't be written."""
        return _schema_of(event_type)

    @classmethod
    def build(cls, name: str, fields: Iterable[Field]) -> RecordSchema:
        """A schema of columns that come from no class, or from several."""
        seen: dict[str, Any] = {}
        parts = [
            {**part.avro, "name": part.name, "type": _shared(part.avro["type"], part.name, seen)}
            for part in fields
        ]
        return cls({"type": "record", "name": name, "fields": parts})

    @classmethod
    def parse(cls, avro_json: str) -> RecordSchema:
        """The schema of an Avro record. Raises SchemaError if it is none.

        >>> RecordSchema.parse('{"type":"record","name":"A","fields":[]}').name
        'A'
        """
        return _parsed(avro_json)

    @cached_property
    def columns(self) -> pl.Schema:
        """The names and Polars types of the fields, in order."""
        return pl.Schema({name: part.dtype for name, part in self.fields.items()})

    @cached_property
    def marks(self) -> Mapping[str, Mark]:
        """The fields that hold personal data, encrypted."""
        return marks_of(self.fields)

    @cached_property
    def plain(self) -> RecordSchema:
        """The schema with personal fields as they are when nothing is encrypted."""
        if not self.marks:
            return self
        fields = []
        for name, known in self.fields.items():
            avro = dict(known.avro)
            if name in self.marks:
                avro["type"] = ["null", avro.pop(PROPERTY)["type"]]
            fields.append(Field(name, known.dtype, known.nullable, avro))
        return RecordSchema.build(self.name, fields)

    @cached_property
    def fast(self) -> bool:
        """Whether all of it can be read by the columnar library."""
        return all(node.fast for node in self.nodes.values())

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, RecordSchema)
            and self.json == other.json
            and self.event_type is other.event_type
        )

    def __hash__(self) -> int:
        return hash(self.json)

    def __repr__(self) -> str:
        return f"RecordSchema({self.name}: {', '.join(self.fields)})"


@lru_cache(maxsize=1024)
def _schema_of(event_type: type[Event]) -> RecordSchema:
    return RecordSchema(avro_record(event_type), event_type)


@lru_cache(maxsize=1024)
def _parsed(avro_json: str) -> RecordSchema:
    try:
        avro = json.loads(avro_json)
    except ValueError as error:
        raise SchemaError(f"expected an Avro schema in JSON: {error}") from None
    if not isinstance(avro, dict) or avro.get("type") != "record" or "name" not in avro:
        raise SchemaError("expected an Avro record", where=avro_json[:80])
    try:
        return RecordSchema(avro)
    except (KeyError, TypeError) as error:
        raise SchemaError(
            f"expected a complete Avro record, got {error!r}", where=avro_json[:80]
        ) from None


def _inlined(kind: Any, seen: dict[str, Any], namespace: str) -> Any:
    """The type with every name replaced by what it names."""
    if isinstance(kind, list):
        return [_inlined(branch, seen, namespace) for branch in kind]
    if isinstance(kind, str):
        return seen.get(f"{namespace}.{kind}" if namespace else kind, seen.get(kind, kind))
    base = kind["type"]
    if base == "array":
        return {**kind, "items": _inlined(kind["items"], seen, namespace)}
    if base == "map":
        return {**kind, "values": _inlined(kind["values"], seen, namespace)}
    if base not in ("record", "error", "enum", "fixed"):
        return kind
    full, inner = full_name(kind, namespace)
    whole = kind
    if "fields" in kind:
        whole = {
            **kind,
            "fields": [
                {**part, "type": _inlined(part["type"], seen, inner)} for part in kind["fields"]
            ],
        }
    seen[full] = whole
    return whole


def _shared(kind: Any, owner: str, seen: dict[str, Any]) -> Any:
    """The type with every definition but the first of its name replaced by the name."""
    if isinstance(kind, list):
        return [_shared(branch, owner, seen) for branch in kind]
    if isinstance(kind, str):
        return kind
    base = kind["type"]
    if base == "array":
        return {**kind, "items": _shared(kind["items"], owner, seen)}
    if base == "map":
        return {**kind, "values": _shared(kind["values"], owner, seen)}
    if base not in ("record", "error", "enum", "fixed"):
        return kind
    name = kind["name"]
    if name in seen:
        if seen[name] == kind:
            return name
        name = f"{owner}_{name}"
        while name in seen:
            name += "_"
    seen[name] = kind
    whole = {**kind, "name": name}
    if "fields" in kind:
        whole["fields"] = [
            {**part, "type": _shared(part["type"], owner, seen)} for part in kind["fields"]
        ]
    return whole


_AVRO: list[tuple[Any, Any]] = [
    (pl.Boolean, "boolean"),
    (pl.Int8, "int"),
    (pl.Int16, "int"),
    (pl.Int32, "int"),
    (pl.UInt8, "int"),
    (pl.UInt16, "int"),
    (pl.Int64, "long"),
    (pl.UInt32, "long"),
    (pl.UInt64, "long"),
    (pl.Float32, "float"),
    (pl.Float64, "double"),
    (pl.String, "string"),
    (pl.Categorical, "string"),
    (pl.Enum, "string"),
    (pl.Binary, "bytes"),
    (pl.Date, {"type": "int", "logicalType": "date"}),
    (pl.Time, {"type": "long", "logicalType": "time-micros"}),
    (pl.Duration, {"type": "long", "logicalType": "duration-micros"}),
]
_UNITS = {"ms": "millis", "us": "micros", "ns": "nanos"}


def _avro_of(dtype: Any, name: str, where: str) -> Any:
    for known, kind in _AVRO:
        if dtype == known:
            return dict(kind) if isinstance(kind, dict) else kind
    if isinstance(dtype, pl.Datetime):
        prefix = "timestamp" if dtype.time_zone else "local-timestamp"
        return {"type": "long", "logicalType": f"{prefix}-{_UNITS[dtype.time_unit]}"}
    if isinstance(dtype, pl.Decimal):
        precision = dtype.precision or 38
        return {
            "type": "fixed",
            "name": f"Decimal_{precision}_{dtype.scale}",
            "size": fixed_size(precision),
            "logicalType": "decimal",
            "precision": precision,
            "scale": dtype.scale,
        }
    if isinstance(dtype, pl.List | pl.Array):
        return {"type": "array", "items": ["null", _avro_of(dtype.inner, name, f"{where}[]")]}
    if isinstance(dtype, pl.Struct) and dtype.fields:
        return {
            "type": "record",
            "name": f"{name}_record",
            "fields": [
                {
                    "name": part.name,
                    "type": [
                        "null",
                        _avro_of(part.dtype, f"{name}_{part.name}", f"{where}.{part.name}"),
                    ],
                    "default": None,
                }
                for part in dtype.fields
            ],
        }
    raise DeclarationError(
        f"expected a column that can be written, got {dtype}",
        where=where,
        hint="cast it to a type that has a form in Avro",
    )
