"""Events as Avro in Confluent's framing, a batch at a time.

Byte 0 is zero, the next four are the id of the schema that the value was written with, the rest
is Avro. To the columnar library the framing is part of the schema: a boolean and a float at its
head, so that nothing is sliced off or joined on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyruhvro

from vagus.errors import DeclarationError, EncodeError, SchemaError, VagusError
from vagus.events.column import BytesColumn
from vagus.events.decoded import BadValue, Decoded
from vagus.events.evolve import frame_of, resolve_record
from vagus.events.frames import arrow_of, fit_frame, raise_bad, types_of, union_columns
from vagus.events.nodes import BadRows, Names
from vagus.events.schema import RecordSchema
from vagus.events.single import SingleReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vagus.events.registry import Registry

__all__ = ["AvroCodec"]

_HEAD = 5
_FEW = 16  # values among which a bad one is looked for one by one


class AvroCodec:
    r"""Writes frames as values of a topic, and reads values as frames.

    With one schema the subject is `{topic}-value`; with several it is `{topic}-{record}`, a frame
    to be written says by its `_type` column (or by `name`) which is which, and frames that are
    read hold the columns of all. Schemas are registered when they are first written.

    >>> from vagus.events import Event, MemoryRegistry
    >>> class Ping(Event):
    ...     host: str
    >>> codec = AvroCodec([RecordSchema.of(Ping)], MemoryRegistry(), "ping")
    >>> values = codec.encode(Ping.to_frame([Ping(host="a")]))
    >>> values.to_list(), codec.decode(values).frame["host"].to_list()
    ([b'\x00\x00\x00\x00\x01\x02a'], ['a'])
    """

    def __init__(
        self,
        schemas: Sequence[RecordSchema],
        registry: Registry,
        topic: str,
        part: str = "value",
    ) -> None:
        self.schemas = tuple(schemas)
        self.topic = topic
        self.columns = union_columns(self.schemas, topic)
        self._registry = registry
        self._several = len(self.schemas) > 1
        self._by_name = {schema.name: schema for schema in self.schemas}
        self._subjects = {
            schema.name: f"{topic}-{schema.name if self._several else part}"
            for schema in self.schemas
        }
        self._writers: dict[str, _Writer] = {}
        self._readers: dict[int, _Reader | str] = {}

    @property
    def schema(self) -> RecordSchema:
        """The topic's only schema; DeclarationError if there are several."""
        if self._several:
            raise DeclarationError(
                f"expected a topic of one type, got {', '.join(self._by_name)}",
                where=self.topic,
                hint="ask for `schemas`",
            )
        return self.schemas[0]

    # Writing

    def encode(self, frame: pl.DataFrame, *, name: str | None = None) -> BytesColumn:
        """The rows of a frame as values.

        Columns that the schema doesn't have are ignored; a column that is missing gets its
        default. Raises EncodeError, with the rows, if values don't fit.
        """
        if name is not None or not self._several:
            return self._encode_one(frame, self._named(name or self.schemas[0].name))
        types = types_of(frame, list(self._by_name), self.topic)
        names = types.unique(maintain_order=True).to_list()
        if len(names) == 1:
            return self._encode_one(frame, self._named(names[0]))
        parts, places = [], []
        for each in names:
            rows = (types == each).arg_true()
            schema = self._named(each)
            try:
                parts.append(self._encode_one(frame[rows], schema))
            except EncodeError as error:
                error.rows = rows.gather(error.rows).to_list()
                raise
            places.append(rows.to_numpy())
        order = np.argsort(np.concatenate(places), kind="stable")
        return BytesColumn.concat(parts).take(order)

    def _named(self, name: str) -> RecordSchema:
        schema = self._by_name.get(name)
        if schema is None:
            raise EncodeError(
                f"expected one of {', '.join(self._by_name)}, got {name!r}",
                where=self.topic,
                hint="declare the type with the topic",
            )
        return schema

    def _encode_one(self, frame: pl.DataFrame, schema: RecordSchema) -> BytesColumn:
        frame = fit_frame(frame, schema, self.topic)
        writer = self._writers.get(schema.name)
        if writer is None:
            schema_id = self._registry.register(self._subjects[schema.name], schema.json)
            writer = self._writers[schema.name] = _Writer(schema, schema_id, self.topic)
        return writer.write(frame)

    # Reading

    def decode(self, values: BytesColumn) -> Decoded:
        """The values as a frame. Never raises for bad data: see `Decoded.errors`."""
        count = len(values)
        if not values.null_count:
            whole = self._decode_alike(values)
            if whole is not None:
                rows = np.arange(count, dtype=np.uint32)
                frame, bad = whole
                frame = self._framed(frame, rows, self.schemas[0].name)
                errors: list[BadValue] = []
                if bad.reasons:
                    frame, errors = _without(frame, bad, values, rows)
                return Decoded(frame, np.empty(0, dtype=np.uint32), errors)
        return self._decode_mixed(values)

    def _decode_alike(self, values: BytesColumn) -> tuple[pl.DataFrame, BadRows] | None:
        """All values at once if they have one schema and are sound, else None."""
        if self._several or not len(values):
            return None
        data = values.to_list()
        first = data[0]
        assert first is not None
        if len(first) < _HEAD or first[0]:
            return None
        schema_id = int.from_bytes(first[1:_HEAD], "big")
        reader = self._reader(schema_id)
        if isinstance(reader, str) or not reader.fast:
            return None
        batch = reader.read_all(data)
        if batch is None:
            return None
        bad = BadRows()
        return reader.finish(batch, len(data), bad), bad

    def _decode_mixed(self, values: BytesColumn) -> Decoded:
        """By schema, with the bad values set apart."""
        array = values.to_arrow()
        gone = array.is_null().to_numpy(zero_copy_only=False)
        sound, ids = _heads(array)
        errors = [
            BadValue(row, "expected byte 0 and the four bytes of a schema id", data)
            for row in np.flatnonzero(~sound & ~gone).tolist()
            for data in [array[row].as_py()]
        ]
        frames: list[pl.DataFrame] = []
        for schema_id in np.unique(ids[sound]).tolist():
            rows = np.flatnonzero(sound & (ids == schema_id)).astype(np.uint32)
            data = values if len(rows) == len(values) else values.take(rows)
            reader = self._reader(schema_id)
            if isinstance(reader, str):
                errors += _all_bad(rows, data, reader)
                continue
            try:
                frame, bad = reader.read_each(data.to_list())
            except VagusError as error:
                errors += _all_bad(rows, data, str(error))
                continue
            frame = self._framed(frame, rows, reader.target.name)
            if bad.reasons:
                frame, apart = _without(frame, bad, data, rows)
                errors += apart
            frames.append(frame)
        tombstones = np.flatnonzero(gone).astype(np.uint32)
        errors.sort(key=lambda error: error.row)
        return Decoded(self._joined(frames), tombstones, errors)

    def _framed(self, frame: pl.DataFrame, rows: NDArray[np.uint32], name: str) -> pl.DataFrame:
        head = [pl.Series("_row", rows)]
        if self._several:
            head.append(pl.repeat(name, frame.height, dtype=pl.String, eager=True).alias("_type"))
        return pl.DataFrame([*head, *frame.get_columns()])

    def _joined(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        head = {"_row": pl.UInt32(), **({"_type": pl.String()} if self._several else {})}
        empty = pl.DataFrame(schema={**head, **self.columns})
        if not frames:
            return empty
        if len(frames) == 1 and not self._several:
            return frames[0]
        return pl.concat([empty, *frames], how="diagonal").sort("_row")

    def _reader(self, schema_id: int) -> _Reader | str:
        """What reads the values of one schema id, or why nothing can."""
        reader = self._readers.get(schema_id)
        if reader is None:
            try:
                writer = RecordSchema.parse(self._registry.schema(schema_id))
                reader = _Reader(schema_id, writer, self._target(writer))
            except SchemaError as error:
                # Not kept: the schema may be registered, or the registry reached, later.
                return str(error)
            self._readers[schema_id] = reader
        return reader

    def _target(self, writer: RecordSchema) -> RecordSchema:
        if not self._several:
            return self.schemas[0]
        target = self._by_name.get(writer.name)
        if target is None:
            target = next(
                (
                    schema
                    for schema in self.schemas
                    if writer.name in json.loads(schema.json).get("aliases", ())
                ),
                None,
            )
        if target is None:
            raise SchemaError(
                f"expected one of {', '.join(self._by_name)}, got {writer.name}",
                where=self.topic,
                hint="declare the type with the topic",
            )
        return target


class _Writer:
    """Writes frames of one schema under one id."""

    def __init__(self, schema: RecordSchema, schema_id: int, topic: str) -> None:
        for name, node in schema.nodes.items():
            if not node.fast:
                raise DeclarationError(
                    "expected a type that can be written, got a fixed whose size is no multiple "
                    "of four",
                    where=f"{topic}.{name}",
                    hint="use bytes",
                )
        self.schema = schema
        self.topic = topic
        self._id = schema_id
        self._avro = _library_schema(schema, reading=False)
        self._names = ["_magic", "_id", *schema.nodes]

    def write(self, frame: pl.DataFrame) -> BytesColumn:
        count = frame.height
        if not count:
            return BytesColumn(pa.array([], pa.binary()))
        bad = BadRows()
        columns = [
            node.write(arrow_of(frame[name]), None, bad) for name, node in self.schema.nodes.items()
        ]
        raise_bad(bad, self.topic)
        zeros = pa.Array.from_buffers(
            pa.bool_(), count, [None, pa.py_buffer(bytes((count + 7) // 8))]
        )
        ids = pa.Array.from_buffers(
            pa.float32(), count, [None, pa.py_buffer(self._id.to_bytes(4, "big") * count)]
        )
        batch = pa.RecordBatch.from_arrays([zeros, ids, *columns], names=self._names)
        parts = pyruhvro.serialize_record_batch(batch, self._avro, 1)
        return BytesColumn(parts[0] if len(parts) == 1 else pa.concat_arrays(parts))


class _Reader:
    """Reads values that were written under one id, as the schema that the topic has now."""

    def __init__(self, schema_id: int, writer: RecordSchema, target: RecordSchema) -> None:
        self.target = target
        self.fast = writer.fast
        self._writer = writer
        self._same = writer.json == target.json
        self._id_bits = int.from_bytes(schema_id.to_bytes(4, "big"), "little")
        self._avro = _library_schema(writer, reading=True)
        self._single = SingleReader(writer)
        self._resolve([pa.nulls(0, node.logical) for node in writer.nodes.values()], 0, BadRows())

    def _resolve(self, columns: list[pa.Array], count: int, bad: BadRows) -> list[pa.Array]:
        if self._same:
            return columns
        return resolve_record(self._writer, self.target, columns, count, bad)

    def read_all(self, data: list[bytes | None]) -> list[pa.Array] | None:
        """The columns in storage form, or None if a value is unsound or has another id."""
        try:
            batch = pyruhvro.deserialize_array(data, self._avro)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 (the library panics with no Exception)
            return None
        columns: list[pa.Array] = batch.columns
        magic, ids = columns[:2]
        bits = np.frombuffer(ids.buffers()[1], dtype=np.uint32)[ids.offset :][: len(ids)]
        if magic.true_count or not (bits == self._id_bits).all():
            return None
        return columns[2:]

    def finish(self, columns: list[pa.Array], count: int, bad: BadRows) -> pl.DataFrame:
        """The frame of columns in storage form."""
        logical = [
            node.read(column, None, bad)
            for node, column in zip(self._writer.nodes.values(), columns, strict=True)
        ]
        return frame_of(self._resolve(logical, count, bad), self.target.columns, count)

    def read_each(self, data: list[bytes | None]) -> tuple[pl.DataFrame, BadRows]:
        """All values, with bad ones marked; a bad value's row in the frame means nothing."""
        bad = BadRows()
        pieces = self._pieces(data, 0, len(data), bad)
        columns = [
            pa.concat_arrays(parts) if len(parts) > 1 else parts[0]
            for parts in zip(*pieces, strict=True)
        ]
        kept = np.array([row for row in range(len(data)) if row not in bad.reasons], dtype=np.int64)
        late = BadRows()
        frame = frame_of(self._resolve(columns, len(kept), late), self.target.columns, len(kept))
        for row, reason in late.reasons.items():
            bad.reasons[int(kept[row])] = reason
        if len(kept) < len(data):
            places = np.full(len(data), -1, dtype=np.int64)
            places[kept] = np.arange(len(kept))
            # Clipped: what stands in a bad value's row is taken out again.
            places = np.maximum(places, 0)
            frame = frame[places] if len(kept) else frame.clear(len(data))
        return frame, bad

    def _pieces(
        self, data: list[bytes | None], start: int, stop: int, bad: BadRows
    ) -> list[list[pa.Array]]:
        """Logical columns, cut where a bad value was taken out."""
        if self.fast:
            columns = self.read_all(data[start:stop])
            if columns is not None:
                here = BadRows()
                logical = [
                    node.read(column, None, here)
                    for node, column in zip(self._writer.nodes.values(), columns, strict=True)
                ]
                if not here.reasons:
                    return [logical]
        if self.fast and stop - start > _FEW:
            middle = (start + stop) // 2
            return [
                *self._pieces(data, start, middle, bad),
                *self._pieces(data, middle, stop, bad),
            ]
        return [self._single.read(data, start, stop, _HEAD, bad)]


def _library_schema(schema: RecordSchema, *, reading: bool) -> str:
    names = Names()
    fields = [{"name": "_magic", "type": "boolean"}, {"name": "_id", "type": "float"}]
    fields += [
        {"name": name, "type": node.wrapped(node.library_schema(names, reading=reading))}
        for name, node in schema.nodes.items()
    ]
    return json.dumps({"type": "record", "name": "Framed", "fields": fields})


def _heads(array: pa.BinaryArray) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which values begin as they should, and the schema id of each."""
    count = len(array)
    ids = np.zeros(count, dtype=np.int64)
    if not count:
        return np.zeros(0, dtype=bool), ids
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
    data = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)
    starts = ends[:-1].astype(np.int64)
    sound = (np.diff(ends) >= _HEAD) & ~array.is_null().to_numpy(zero_copy_only=False)
    at = starts[sound]
    sound[sound] = data[at] == 0
    at = starts[sound]
    for place in range(1, _HEAD):
        ids[sound] = (ids[sound] << 8) | data[at + place]
    return sound, ids


def _all_bad(rows: NDArray[np.uint32], values: BytesColumn, error: str) -> list[BadValue]:
    return [
        BadValue(row, error, value or b"")
        for row, value in zip(rows.tolist(), values.to_list(), strict=True)
    ]


def _without(
    frame: pl.DataFrame, bad: BadRows, values: BytesColumn, rows: NDArray[np.uint32]
) -> tuple[pl.DataFrame, list[BadValue]]:
    """The frame without its bad rows, and these."""
    keep = np.ones(len(rows), dtype=bool)
    places = sorted(bad.reasons)
    keep[places] = False
    array = values.to_arrow()
    errors = [BadValue(int(rows[at]), bad.reasons[at], array[at].as_py() or b"") for at in places]
    return frame.filter(pl.Series(keep)), errors
