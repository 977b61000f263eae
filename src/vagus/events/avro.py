"""Events as Avro in Confluent's framing, a batch at a time.

Byte 0 is zero, the next four are the id of the schema that the value was written with, the rest
is Avro. To the columnar library the framing is part of the schema: a boolean and a float at its
head, so that nothing is sliced off or joined on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
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
from vagus.events.scan import suspects
from vagus.events.schema import RecordSchema
from vagus.events.single import SingleReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from vagus.events.registry import Registry

__all__ = ["AvroCodec"]

_HEAD = 5
_NO_HEAD = "expected byte 0 and the four bytes of a schema id"
_FEW = 16  # values among which a bad one is looked for one by one
_Piece = tuple[list[pa.Array], "NDArray[np.int64]"]


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
                held = frame.select(name for name in schema.columns if name in frame.columns)
                parts.append(self._encode_one(held[rows], schema))
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
        present, rows, gone = values.without_nulls()
        decoded = self._decode_alike(present, rows, gone)
        return self._decode_mixed(present, rows, gone) if decoded is None else decoded

    def _decode_alike(
        self, values: BytesColumn, rows: NDArray[np.uint32], gone: NDArray[np.uint32]
    ) -> Decoded | None:
        """All values at once if they have one schema and are whole, else None."""
        if self._several or not len(values):
            return None
        data = values.to_list()
        first = data[0] or b""
        if len(first) < _HEAD or first[0]:
            return None
        reader = self._reader(int.from_bytes(first[1:_HEAD], "big"))
        if isinstance(reader, str) or not reader.fast:
            return None
        columns = reader.read_all(data)
        if columns is None:
            return None
        bad = BadRows()
        frame = self._framed(reader.finish(columns, len(data), bad), rows, reader.target.name)
        if not bad.reasons:
            return Decoded(frame, gone, [])
        errors = _bad_values(bad, data, rows)
        return Decoded(_without(frame, bad), gone, errors)

    def _decode_mixed(
        self, values: BytesColumn, rows: NDArray[np.uint32], gone: NDArray[np.uint32]
    ) -> Decoded:
        """By schema, with the bad values set apart."""
        array, data = values.to_arrow(), values.to_list()
        sound, ids = _heads(array)
        errors = [
            BadValue(
                int(rows[at]), "expected byte 0 and the four bytes of a schema id", data[at] or b""
            )
            for at in np.flatnonzero(~sound).tolist()
        ]
        frames: list[pl.DataFrame] = []
        for schema_id, places in _groups(sound, ids):
            whole = len(places) == len(data)
            part = data if whole else list(map(data.__getitem__, places.tolist()))
            reader = self._reader(schema_id)
            here = rows[places]
            if isinstance(reader, str):
                errors += _all_bad(here, part, reader)
                continue
            try:
                # A whole batch of one type is here because it could not be read at once.
                frame, kept, bad = reader.read_each(
                    part, _Origin(array, places), tried=whole and not self._several
                )
            except VagusError as error:
                errors += _all_bad(here, part, str(error))
                continue
            frames.append(self._framed(frame, here[kept], reader.target.name))
            errors += _bad_values(bad, part, here)
        errors.sort(key=lambda error: error.row)
        return Decoded(self._joined(frames), gone, errors)

    def _framed(self, frame: pl.DataFrame, rows: NDArray[np.uint32], name: str) -> pl.DataFrame:
        head = [pl.Series("_row", rows)]
        if self._several:
            head.append(pl.repeat(name, frame.height, dtype=pl.String, eager=True).alias("_type"))
        return pl.DataFrame([*head, *frame.get_columns()])

    def _joined(self, frames: list[pl.DataFrame]) -> pl.DataFrame:
        if len(frames) == 1 and not self._several:
            return frames[0]
        head = {"_row": pl.UInt32(), **({"_type": pl.String()} if self._several else {})}
        empty = pl.DataFrame(schema={**head, **self.columns})
        whole = pl.concat([empty, *frames], how="diagonal")
        if len(frames) < 2:
            return whole
        rows = whole["_row"].to_numpy()
        # The rows differ, so that each has a place of its own: quicker than to sort.
        none = np.uint32(len(rows))
        places = np.full(int(rows.max(initial=0)) + 1, none, dtype=np.uint32)
        places[rows] = np.arange(len(rows), dtype=np.uint32)
        return whole[pl.Series(places[places < none])]

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


@dataclass(frozen=True)
class _Origin:
    """Where the values of one schema are among those of a batch."""

    array: pa.BinaryArray
    places: NDArray[np.int64]

    def values(self) -> pa.BinaryArray:
        whole = len(self.places) == len(self.array)
        return self.array if whole else self.array.take(pa.array(self.places))


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

    def read_each(
        self, data: list[bytes | None], origin: _Origin, *, tried: bool
    ) -> tuple[pl.DataFrame, NDArray[np.int64], BadRows]:
        """The frame of the values that can be read, their places, and the others.

        `tried` is whether it is known that they can't be read all at once.
        """
        bad = BadRows()
        places = np.arange(len(data))
        columns = self._sound(data) if self.fast and not tried else None
        pieces = self._sifted(data, places, origin, bad) if columns is None else [(columns, places)]
        columns = [
            pa.concat_arrays(parts) if len(parts) > 1 else parts[0]
            for parts in zip(*(columns for columns, _ in pieces), strict=True)
        ]
        kept = np.concatenate([places for _, places in pieces])
        late = BadRows()
        frame = frame_of(self._resolve(columns, len(kept), late), self.target.columns, len(kept))
        if late.reasons:
            for at, reason in late.reasons.items():
                bad.reasons[int(kept[at])] = reason
            frame, kept = _without(frame, late), np.delete(kept, list(late.reasons))
        if len(pieces) > 1:
            order = np.argsort(kept, kind="stable")
            frame, kept = frame[order], kept[order]
        return frame, kept, bad

    def _sifted(
        self, data: list[bytes | None], places: NDArray[np.int64], origin: _Origin, bad: BadRows
    ) -> list[_Piece]:
        """Logical columns and their places; what looks bad is first set apart."""
        if not self.fast or len(data) <= _FEW:
            return [self._read_single(data, places, bad)]
        odd = suspects(origin.values(), _HEAD, self._writer.nodes.values())
        if not odd.any():
            return self._pieces(data, places, bad)
        good, few = np.flatnonzero(~odd), np.flatnonzero(odd)
        pieces = [self._read_single([data[at] for at in few.tolist()], places[few], bad)]
        if len(good):
            pieces += self._pieces([data[at] for at in good.tolist()], places[good], bad)
        return pieces

    def _pieces(
        self, data: list[bytes | None], places: NDArray[np.int64], bad: BadRows
    ) -> list[_Piece]:
        """Logical columns and their places, by halves until bad values are among few others."""
        columns = self._sound(data)
        if columns is not None:
            return [(columns, places)]
        if len(data) <= _FEW:
            return [self._read_single(data, places, bad)]
        middle = len(data) // 2
        return [
            *self._pieces(data[:middle], places[:middle], bad),
            *self._pieces(data[middle:], places[middle:], bad),
        ]

    def _sound(self, data: list[bytes | None]) -> list[pa.Array] | None:
        """The logical columns of values that are all sound, else None."""
        columns = self.read_all(data)
        if columns is None:
            return None
        bad = BadRows()
        logical = [
            node.read(column, None, bad)
            for node, column in zip(self._writer.nodes.values(), columns, strict=True)
        ]
        return None if bad.reasons else logical

    def _read_single(
        self, data: list[bytes | None], places: NDArray[np.int64], bad: BadRows
    ) -> _Piece:
        here = BadRows()
        columns, rows = self._single.read(data, _HEAD, here)
        for row, reason in here.reasons.items():
            bad.reasons[int(places[row])] = reason
        return columns, places[rows]


def _library_schema(schema: RecordSchema, *, reading: bool) -> str:
    names = Names()
    fields = [{"name": "_magic", "type": "boolean"}, {"name": "_id", "type": "float"}]
    fields += [
        {"name": name, "type": node.wrapped(node.library_schema(names, reading=reading))}
        for name, node in schema.nodes.items()
    ]
    return json.dumps({"type": "record", "name": "Framed", "fields": fields})


def _heads(array: pa.BinaryArray) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    """Which values begin as they should, and the schema id of each."""
    count = len(array)
    ids = np.zeros(count, dtype=np.uint32)
    if not count:
        return np.zeros(0, dtype=bool), ids
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
    buffer = array.buffers()[2] or b""
    sound = np.diff(ends) >= _HEAD
    if not sound.any():
        return sound, ids
    starts = ends[:-1] if sound.all() else ends[:-1][sound]
    data = np.frombuffer(buffer, dtype=np.uint8)
    # The four bytes from any byte on, as numbers.
    words = np.ndarray((len(data) - 3,), dtype=">u4", buffer=buffer, strides=(1,))
    ids[sound] = words[starts + 1]
    sound[sound] = data[starts] == 0
    return sound, ids


def _groups(
    sound: NDArray[np.bool_], ids: NDArray[np.uint32]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The schema ids of the sound values, and the places of each."""
    places = np.flatnonzero(sound)
    if not len(places):
        return
    given = ids[places]
    known = np.sort(pl.Series(given).unique().to_numpy())
    if len(known) == 1:
        yield int(known[0]), places
        return
    codes = np.searchsorted(known, given)
    # Of numbers that are short enough NumPy makes a radix sort.
    order = np.argsort(codes.astype(np.uint16) if len(known) < 1 << 16 else codes, kind="stable")
    ends = np.cumsum(np.bincount(codes))
    yield from zip(known.tolist(), np.split(places[order], ends[:-1]), strict=True)


def _all_bad(rows: NDArray[np.uint32], data: Sequence[bytes | None], error: str) -> list[BadValue]:
    return [
        BadValue(row, error, value or b"") for row, value in zip(rows.tolist(), data, strict=True)
    ]


def _bad_values(
    bad: BadRows, data: Sequence[bytes | None], rows: NDArray[np.uint32]
) -> list[BadValue]:
    return [
        BadValue(int(rows[at]), reason, data[at] or b"")
        for at, reason in sorted(bad.reasons.items())
    ]


def _without(frame: pl.DataFrame, bad: BadRows) -> pl.DataFrame:
    keep = np.ones(frame.height, dtype=bool)
    keep[list(bad.reasons)] = False
    return frame.filter(pl.Series(keep))
