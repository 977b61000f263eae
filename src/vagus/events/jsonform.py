"""Events as JSON, one object a value: for topics that others read without a registry.

Instants are ISO 8601 in UTC, spans ISO 8601 durations, bytes base64, decimals text, maps objects,
and a tagged union is the object of its branch. Values are made and checked by pydantic's compiled
core, or in columns where all fields of a topic's only type are plain. Of a member that an object
has twice, it is not defined which counts.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic_core import SchemaValidator, ValidationError, core_schema, to_json

from vagus.errors import DeclarationError, EncodeError
from vagus.events.column import BytesColumn
from vagus.events.decoded import BadValue, Decoded
from vagus.events.frames import (
    arrow_of,
    fitted,
    only_schema,
    raise_bad,
    types_of,
    union_columns,
)
from vagus.events.jsonplain import PlainJson
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
)
from vagus.events.rows import to_python

if TYPE_CHECKING:
    from vagus.events.schema import RecordSchema

__all__ = ["JsonCodec"]

_TYPE = "type"


class JsonCodec:
    """Writes frames as JSON objects, and reads JSON objects as frames.

    A topic of several types has the name of the type in the member `type` of each object. Members
    that the schema doesn't have are passed over; those that are missing get their default.

    >>> from vagus.events import Event, RecordSchema
    >>> class Ping(Event):
    ...     host: str
    >>> codec = JsonCodec([RecordSchema.of(Ping)], "ping")
    >>> codec.encode(Ping.to_frame([Ping(host="a")])).to_list()
    [b'{"host":"a"}']
    """

    def __init__(self, schemas: Sequence[RecordSchema], topic: str) -> None:
        self.schemas = tuple(schemas)
        self.topic = topic
        self.columns = union_columns(self.schemas, topic)
        self._several = len(self.schemas) > 1
        self._by_name = {schema.name: schema for schema in self.schemas}
        self._plain = {schema.name: PlainJson.of(schema) for schema in self.schemas}
        if self._several and _TYPE in self.columns:
            raise DeclarationError(
                "expected no field named 'type' in a topic of several types in JSON",
                where=topic,
                hint="rename the field, or write the topic as Avro",
            )
        record = {schema.name: _object(schema.nodes, schema.fields) for schema in self.schemas}
        if self._several:
            tagged = core_schema.tagged_union_schema(
                {
                    name: core_schema.no_info_after_validator_function(_named(name), each)
                    for name, each in record.items()
                },
                discriminator=_TYPE,
            )
        else:
            tagged = record[self.schemas[0].name]
        self._one = SchemaValidator(tagged)
        self._many = SchemaValidator(core_schema.list_schema(tagged))

    @property
    def schema(self) -> RecordSchema:
        """The topic's only schema; DeclarationError if there are several."""
        return only_schema(self.schemas, self.topic)

    def encode(self, frame: pl.DataFrame, *, name: str | None = None) -> BytesColumn:
        """The rows of a frame as values. Raises EncodeError, with the rows, like AvroCodec."""
        if name is None and self._several:
            types = types_of(frame, list(self._by_name), self.topic)
            names = types.unique(maintain_order=True).to_list()
        else:
            types, names = None, [name or self.schemas[0].name]
        parts, places = [], []
        for each in names:
            rows = None if types is None else (types == each).arg_true()
            try:
                parts.append(self._encode_one(frame if rows is None else frame[rows], each))
            except EncodeError as error:
                if rows is not None:
                    error.rows = rows.gather(error.rows).to_list()
                raise
            if rows is not None:
                places.append(rows.to_numpy())
        if not places:
            return parts[0] if parts else BytesColumn([])
        order = np.argsort(np.concatenate(places), kind="stable")
        return BytesColumn.concat(parts).take(order)

    def _encode_one(self, frame: pl.DataFrame, name: str) -> BytesColumn:
        schema = self._by_name.get(name)
        if schema is None:
            raise EncodeError(
                f"expected one of {', '.join(self._by_name)}, got {name!r}",
                where=self.topic,
                hint="declare the type with the topic",
            )
        columns = fitted(frame, schema, self.topic)
        frame = pl.DataFrame(columns) if columns else pl.DataFrame(height=frame.height)
        bad = BadRows()
        for column, node in schema.nodes.items():
            node.write(arrow_of(frame[column]), None, bad)
            if isinstance(node, Scalar) and node.kind in ("float", "double"):
                endless = (~frame[column].is_finite()).fill_null(False).to_numpy()
                bad.add(endless, None, node.where, "expected a finite number")
        raise_bad(bad, self.topic)
        head = {_TYPE: name} if self._several else {}
        plain = self._plain[name]
        written = plain.encode(frame, head) if plain is not None else None
        return BytesColumn(_one_by_one(frame, schema, head)) if written is None else written

    def decode(self, values: BytesColumn) -> Decoded:
        """The values as a frame. Never raises for bad data: see `Decoded.errors`."""
        present, places, gone = values.without_nulls()
        plain = None if self._several else self._plain[self.schemas[0].name]
        if plain is not None and (columns := plain.decode(present.to_list())) is not None:
            return Decoded(pl.DataFrame([pl.Series("_row", places), *columns]), gone, [])
        data = values.to_list()
        rows = places.tolist()
        errors: list[BadValue] = []
        try:
            objects = self._many.validate_json(b"[" + b",".join(data[row] for row in rows) + b"]")
            if len(objects) != len(rows):  # a value that is two, or none
                raise ValueError
        except (ValidationError, ValueError):
            objects, sound = [], []
            for row in rows:
                value = data[row] or b""
                try:
                    objects.append(self._one.validate_json(value))
                    sound.append(row)
                except ValidationError as error:
                    errors.append(BadValue(row, _reason(error), value))
            rows = sound
        return Decoded(self._frame(objects, rows), gone, errors)

    def _frame(self, objects: list[dict[str, Any]], rows: list[int]) -> pl.DataFrame:
        head = {"_row": pl.UInt32(), **({"_type": pl.String()} if self._several else {})}
        columns = [pl.Series("_row", rows, pl.UInt32)]
        for name, dtype in {**head, **self.columns}.items():
            if name != "_row":
                columns.append(pl.Series(name, [each.get(name) for each in objects], dtype))
        return pl.DataFrame(columns)


def _one_by_one(frame: pl.DataFrame, schema: RecordSchema, head: dict[str, str]) -> list[bytes]:
    try:
        rows = frame.to_dicts() if frame.width else [{} for _ in range(frame.height)]
    except (OverflowError, ValueError) as error:
        raise EncodeError(
            f"expected values that JSON has a form for: {error}",
            where=schema.name,
            hint="the years that can be written are 1 to 9999",
        ) from None
    changes = {
        column: change
        for column, node in schema.nodes.items()
        if (change := to_python(node)) is not None
    }
    result = []
    for row in rows:
        for column, change in changes.items():
            if row[column] is not None:
                row[column] = change(row[column])
        result.append(to_json({**head, **row}, bytes_mode="base64", timedelta_mode="iso8601"))
    return result


def _named(name: str) -> Any:
    def add(value: dict[str, Any]) -> dict[str, Any]:
        value["_type"] = name
        return value

    return add


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    where = f" in field {place!r}" if place else ""
    return f"expected JSON that fits the type: {first['msg']}{where}"


def _object(nodes: Any, fields: Any) -> Any:
    """The check of one record: members by name, into the values of a frame."""
    parts = {}
    for name, node in nodes.items():
        part = fields[name]
        avro = getattr(part, "avro", part)
        check = _check(node)
        if node.nullable:
            check = core_schema.nullable_schema(check)
        if "default" in avro:
            default = pl.Series(node.default_column(avro["default"], 1)).cast(node.dtype)[0]
            if isinstance(default, pl.Series):
                default = default.to_list()
            check = core_schema.with_default_schema(check, default=default)
        alias: Any = [[old] for old in (name, *avro.get("aliases", ()))]
        parts[name] = core_schema.typed_dict_field(
            check, required="default" not in avro, validation_alias=alias
        )
    return core_schema.typed_dict_schema(parts, extra_behavior="ignore")


def _check(node: Node) -> Any:
    if isinstance(node, Scalar):
        return _scalar(node)
    if isinstance(node, Temporal):
        if isinstance(node.dtype, pl.Datetime):
            zone: Any = "aware" if node.dtype.time_zone else "naive"
            return core_schema.datetime_schema(tz_constraint=zone, strict=True)
        if node.dtype == pl.Duration:
            return core_schema.timedelta_schema(strict=True)
        return (
            core_schema.date_schema(strict=True)
            if node.dtype == pl.Date
            else core_schema.time_schema(tz_constraint="naive", strict=True)
        )
    if isinstance(node, Decimal):
        return core_schema.decimal_schema(
            max_digits=node.precision, decimal_places=node.scale, strict=True
        )
    if isinstance(node, Fixed):
        return core_schema.chain_schema(
            [_BASE64, core_schema.bytes_schema(min_length=node.size, max_length=node.size)]
        )
    if isinstance(node, Enumeration):
        return core_schema.literal_schema(node.symbols)
    if isinstance(node, Array):
        return core_schema.list_schema(_nullable(node.item))
    if isinstance(node, Map):
        return core_schema.no_info_after_validator_function(
            lambda value: [{"key": key, "value": item} for key, item in value.items()],
            core_schema.dict_schema(core_schema.str_schema(), _nullable(node.value)),
        )
    if isinstance(node, Record):
        return _object(node.fields, {name: node.avro(name) for name in node.fields})
    assert isinstance(node, Union)
    return core_schema.union_schema(
        [
            core_schema.no_info_after_validator_function(_member(name), _check(branch))
            for name, branch in node.branches.items()
        ]
    )


def _unbase64(text: str) -> bytes:
    # Both alphabets are in use: pydantic writes the one of URLs, most others the plain one.
    return b64decode(text.replace("-", "+").replace("_", "/"), validate=True)


_BASE64 = core_schema.no_info_after_validator_function(
    _unbase64, core_schema.str_schema(strict=True)
)


def _nullable(node: Node) -> Any:
    check = _check(node)
    return core_schema.nullable_schema(check) if node.nullable else check


def _member(name: str) -> Any:
    return lambda value: {name: value}


def _scalar(node: Scalar) -> Any:
    if node.kind in ("int", "long"):
        bits = 31 if node.kind == "int" else 63
        return core_schema.int_schema(ge=-(1 << bits), le=(1 << bits) - 1, strict=True)
    if node.kind in ("float", "double"):
        return core_schema.float_schema(strict=True, allow_inf_nan=False)
    if node.kind == "boolean":
        return core_schema.bool_schema(strict=True)
    if node.kind == "bytes":
        return _BASE64
    if node.uuid:
        return core_schema.no_info_after_validator_function(str, core_schema.uuid_schema())
    return core_schema.str_schema(strict=True)
