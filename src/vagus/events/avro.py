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

from vagus.errors import EncodeError, SchemaError, VagusError
from vagus.events.column import BytesColumn
from vagus.events.decoded import BadValue, Decoded
from vagus.events.frames import fitted, only_schema, types_of, union_columns
from vagus.events.nodes import BadRows
from vagus.events.reading import Origin, Reader, without
from vagus.events.schema import RecordSchema
from vagus.events.writing import HEAD_BYTES, Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from vagus.events.registry import Registry

__all__ = ["AvroCodec"]

_FEW = 1_024  # rows whose types are quicker found in Python


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
        self._writers: dict[str, Writer] = {}
        self._readers: dict[int, Reader | str] = {}

    @property
    def schema(self) -> RecordSchema:
        """The topic's only schema; DeclarationError if there are several."""
        return only_schema(self.schemas, self.topic)

    # Writing

    def announce(self) -> None:
        """Register the schemas of a topic that has none yet.

        Tools and other programs then know its types before the first event.
        """
        known = set(self._registry.subjects())
        for schema in self.schemas:
            subject = self._subjects[schema.name]
            if subject not in known:
                self._registry.register(subject, schema.json)

    def encode(self, frame: pl.DataFrame, *, name: str | None = None) -> BytesColumn:
        """The rows of a frame as values.

        Columns that the schema doesn't have are ignored; a column that is missing gets its
        default. Raises EncodeError, with the rows, if values don't fit.
        """
        if name is not None or not self._several:
            return self._encode_one(frame, self._named(name or self.schemas[0].name))
        types = types_of(frame, list(self._by_name), self.topic)
        names = (
            list(dict.fromkeys(types.to_list()))
            if len(types) <= _FEW
            else types.unique(maintain_order=True).to_list()
        )
        if not names:
            return BytesColumn([])
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
        columns = fitted(frame, schema, self.topic)
        writer = self._writers.get(schema.name)
        if writer is None:
            schema_id = self._registry.register(self._subjects[schema.name], schema.json)
            writer = self._writers[schema.name] = Writer(schema, schema_id, self.topic)
        return writer.write(columns, frame.height)

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
        if not len(values):
            return None
        if self._several:
            sound, ids = _heads(values.to_arrow())
            if not sound.all() or (ids != ids[0]).any():
                return None
        first: bytes = values.slice(0, 1).to_arrow()[0].as_py()
        if len(first) < HEAD_BYTES or first[0]:
            return None
        reader = self._reader(int.from_bytes(first[1:HEAD_BYTES], "big"))
        if isinstance(reader, str) or not reader.fast:
            return None
        bad = BadRows()
        read = reader.read(values, bad)
        if read is None:
            return None
        frame = self._framed(read, rows, reader.target.name)
        if not bad.reasons:
            return Decoded(self._joined([frame]), gone, [])
        frame = without(frame, bad)
        return Decoded(self._joined([frame]), gone, _bad_values(bad, values.to_list(), rows))

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
                    part, Origin(array, places), tried=whole and not self._several
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
            head.append(pl.Series("_type", [name], pl.String).new_from_index(0, frame.height))
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

    def _reader(self, schema_id: int) -> Reader | str:
        """What reads the values of one schema id, or why nothing can."""
        reader = self._readers.get(schema_id)
        if reader is None:
            try:
                writer = RecordSchema.parse(self._registry.schema(schema_id))
                reader = Reader(schema_id, writer, self._target(writer))
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


def _heads(array: pa.BinaryArray) -> tuple[NDArray[np.bool_], NDArray[np.uint32]]:
    """Which values begin as they should, and the schema id of each."""
    count = len(array)
    ids = np.zeros(count, dtype=np.uint32)
    if not count:
        return np.zeros(0, dtype=bool), ids
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
    buffer = array.buffers()[2] or b""
    sound = np.diff(ends) >= HEAD_BYTES
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
