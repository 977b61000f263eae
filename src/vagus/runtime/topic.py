"""A typed topic: what its bytes mean, and the way from bytes to frames and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from vagus.errors import EncodeError
from vagus.events import (
    AvroCodec,
    BadValue,
    BytesColumn,
    KeyCodec,
    partitions_for,
)
from vagus.hub import FetchedRecords, Records, TopicConfig
from vagus.runtime.frame import (
    KEY,
    SYSTEM,
    TIME,
    TIME_TYPE,
    TOMBSTONE,
    constant,
    empty_frame,
    milliseconds,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vagus.events import Event, JsonCodec, KeyType, RecordSchema, Registry
    from vagus.events.personal import Mark

WINDOW_START = "window_start"

_START_BYTES = 8


@dataclass(frozen=True, eq=False)
class Topic:
    """A topic and the type of what is in it. Declaring one does no I/O.

    `key` and `time` name the fields that hold an event's key and its time. The key of a windowed
    topic is followed by the window's start, eight bytes big-endian, as Kafka Streams'
    `TimeWindowedSerializer` writes it. A topic that `follows_inputs` is the application's own
    (state or repartition), and gets as many partitions as what it is made from.
    """

    name: str
    schemas: tuple[RecordSchema, ...]
    key: str | None = None
    key_kind: KeyType = "str"
    time: str | None = None
    config: TopicConfig = field(default_factory=TopicConfig)
    form: Literal["avro", "json"] = "avro"
    windowed: bool = False
    follows_inputs: bool = False

    @property
    def columns(self) -> dict[str, pl.DataType]:
        """The columns of a frame of this topic, in order, without the engine's own."""
        columns: dict[str, pl.DataType] = {}
        if len(self.schemas) > 1:
            columns["_type"] = pl.String()
        for schema in self.schemas:
            columns.update(schema.columns)
        return columns

    @property
    def marks(self) -> dict[str, Mark]:
        """The columns that hold personal data, encrypted."""
        return {name: mark for schema in self.schemas for name, mark in schema.marks.items()}

    @property
    def empty(self) -> pl.DataFrame:
        """A frame of this topic, without records."""
        columns = self.columns
        if self.windowed:
            columns[WINDOW_START] = TIME_TYPE
        return empty_frame(columns, self.key_type)

    @property
    def key_type(self) -> pl.DataType:
        """The Polars type of the key."""
        return KeyCodec(self.key_kind).dtype

    def frame(self, events: Sequence[Event]) -> pl.DataFrame:
        """Events as a frame, in their order, without the engine's columns.

        Raises EncodeError for an event of a type that the topic doesn't hold.
        """
        known = {schema.event_type: schema for schema in self.schemas}
        for event in events:
            if type(event) not in known:
                wanted = " or ".join(schema.name for schema in self.schemas)
                raise EncodeError(
                    f"expected {wanted}, got {type(event).__name__}", where=f"topic {self.name!r}"
                )
        parts = []
        for event_type, schema in known.items():
            rows = [row for row, event in enumerate(events) if type(event) is event_type]
            if event_type is not None and len(rows) == len(events) and len(known) == 1:
                return event_type.to_frame(events)
            if event_type is not None and rows:
                part = event_type.to_frame([events[row] for row in rows])
                at = pl.Series("_at", rows)
                parts.append(part.with_columns(pl.lit(schema.name).alias("_type"), at))
        if not parts:
            return self.empty.drop(SYSTEM)
        frame = pl.concat(parts, how="diagonal").sort("_at").drop("_at")
        missing = [pl.lit(None, t).alias(n) for n, t in self.columns.items() if n not in frame]
        return frame.with_columns(missing)


@dataclass(frozen=True, slots=True)
class DecodedRecords:
    """The frame that records were read into, and those that couldn't be read.

    The frame has `_row`, a record's place in the batch.
    """

    frame: pl.DataFrame
    failures: list[BadValue]


class TopicCodec:
    """Reads and writes one topic's records as frames."""

    def __init__(self, topic: Topic, registry: Registry) -> None:
        self.topic = topic
        self._keys = KeyCodec(topic.key_kind)
        self._values: AvroCodec | JsonCodec
        if topic.form == "avro":
            self._values = AvroCodec(topic.schemas, registry, topic.name)
        else:
            from vagus.events import JsonCodec

            self._values = JsonCodec(topic.schemas, topic.name)

    def announce(self) -> None:
        """Make the topic's types known in the registry, if none are yet."""
        if isinstance(self._values, AvroCodec):
            self._values.announce()

    def decode(self, records: FetchedRecords) -> DecodedRecords:
        """The records as a frame, in their order, without `_seq`."""
        decoded = self._values.decode(records.values)
        frame = decoded.frame
        if len(decoded.tombstones):
            gone = pl.DataFrame({"_row": decoded.tombstones})
            frame = pl.concat(
                [
                    frame.with_columns(pl.lit(False).alias(TOMBSTONE)),
                    gone.with_columns(pl.lit(True).alias(TOMBSTONE)),
                ],
                how="diagonal",
            ).sort("_row")
        whole = frame.height == len(records)

        keys, starts = records.keys, None
        short: list[BadValue] = []
        if self.topic.windowed:
            keys, starts, short = _split_windowed(keys)
        key, failures = self._keys.decode(keys)
        failures += short
        stamps = pl.Series(TIME, records.timestamps).cast(TIME_TYPE)
        if not whole:
            rows = frame["_row"]
            key, stamps = key.gather(rows), stamps.gather(rows)
        system = [key.alias(KEY), stamps]
        if not len(decoded.tombstones):
            system.append(constant(TOMBSTONE, False, pl.Boolean(), frame.height))
        if starts is not None:
            start = pl.Series(WINDOW_START, starts).cast(TIME_TYPE)
            system.append(start if whole else start.gather(frame["_row"]))
        if self.topic.time is not None and not len(decoded.tombstones):
            system[1] = frame[self.topic.time].cast(TIME_TYPE).alias(TIME)
        if starts is not None and WINDOW_START in frame.columns:
            frame = frame.drop(WINDOW_START)
        frame = frame.hstack(system)
        if self.topic.time is not None and len(decoded.tombstones):
            frame = frame.with_columns(
                pl.when(pl.col(TOMBSTONE))
                .then(pl.col(TIME))
                .otherwise(pl.col(self.topic.time).cast(TIME_TYPE))
                .alias(TIME)
            )
        failures = [*decoded.errors, *failures]
        if (milliseconds(frame[TIME]) < 0).any():  # or null
            failures += self._untimed(frame, records)
        if failures:
            bad = pl.Series(sorted({failure.row for failure in failures}), dtype=pl.UInt32)
            frame = frame.filter(~pl.col("_row").is_in(bad.implode()))
        return DecodedRecords(frame, failures)

    def _untimed(self, frame: pl.DataFrame, records: FetchedRecords) -> list[BadValue]:
        early = pl.col(TIME).is_null() | (pl.col(TIME).to_physical() < 0)
        rows = frame.filter(early)["_row"]
        values = records.values.to_list()
        what = f"field {self.topic.time!r}" if self.topic.time else "the record's timestamp"
        return [
            BadValue(row, f"expected a time since 1970 in {what}", values[row] or b"")
            for row in rows.to_list()
        ]

    def encode(
        self, frame: pl.DataFrame, partition_count: int, *, unkeyed_partition: int = 0
    ) -> list[tuple[int, Records, NDArray[np.uint32]]]:
        """The frame as records: for each partition its number, its records, and their rows.

        The partition is that of the key, as Kafka's Java client chooses it; records without a key
        go to `unkeyed_partition`. Raises EncodeError with the rows that don't fit the schema.
        """
        if not frame.height:
            return []
        keys = self._keys.encode(frame[KEY])
        if partition_count == 1:
            records = self._records(frame, keys)
            return [(0, records, np.arange(len(records), dtype=np.uint32))]
        partitions = partitions_for(keys, partition_count)
        if keys.null_count:
            partitions = np.where(partitions < 0, unkeyed_partition % partition_count, partitions)
        return _by_partition(self._records(frame, keys), partitions)

    def records(self, frame: pl.DataFrame) -> Records:
        """The frame as records of one partition. Raises EncodeError like `encode`."""
        return self._records(frame, self._keys.encode(frame[KEY]))

    def _records(self, frame: pl.DataFrame, keys: BytesColumn) -> Records:
        gone = frame[TOMBSTONE]
        if gone.any():
            live = (~gone).arg_true()
            encoded = self._values.encode(frame.filter(~gone))
            rows = np.full(frame.height, len(live), dtype=np.int64)
            rows[live.to_numpy()] = np.arange(len(live))
            # Deletions get the null that is put behind the last value.
            values = BytesColumn.concat([encoded, BytesColumn.nulls(1)]).take(rows)
        else:
            values = self._values.encode(frame)
        if self.topic.windowed:
            keys = _join_windowed(keys, frame[WINDOW_START])
        return Records(keys, values, milliseconds(frame[TIME]))


def _by_partition(
    records: Records, partitions: NDArray[np.int32]
) -> list[tuple[int, Records, NDArray[np.uint32]]]:
    first = int(partitions[0])
    if (partitions == first).all():
        return [(first, records, np.arange(len(records), dtype=np.uint32))]
    order = np.argsort(partitions, kind="stable").astype(np.uint32)
    bounds = np.flatnonzero(np.diff(partitions[order])) + 1
    pieces = []
    for rows in np.split(order, bounds):
        part = Records(records.keys.take(rows), records.values.take(rows), records.timestamps[rows])
        pieces.append((int(partitions[rows[0]]), part, rows))
    return pieces


def _join_windowed(keys: BytesColumn, starts: pl.Series) -> BytesColumn:
    stamps = starts.cast(TIME_TYPE).to_physical().to_numpy().astype(">i8")
    suffix = pa.Array.from_buffers(
        pa.binary(_START_BYTES), len(stamps), [None, pa.py_buffer(stamps.tobytes())]
    ).cast(pa.binary())
    # Three arrays: given a scalar, pyarrow looks whether it is one of pandas', and imports that.
    places = pa.py_buffer(bytes(4 * (len(stamps) + 1)))
    nothing = pa.Array.from_buffers(pa.binary(), len(stamps), [None, places, pa.py_buffer(b"")])
    return BytesColumn(pc.binary_join_element_wise(keys.to_arrow(), suffix, nothing))


def _split_windowed(
    keys: BytesColumn,
) -> tuple[BytesColumn, NDArray[np.int64], list[BadValue]]:
    """The keys, the starts of their windows, and the keys that are too short to have one."""
    array = keys.to_arrow()
    long_enough = pc.fill_null(pc.greater_equal(pc.binary_length(array), _START_BYTES), False)
    bad: list[BadValue] = []
    if not pc.all(long_enough).as_py() and len(array):
        rows = np.flatnonzero(~long_enough.to_numpy(zero_copy_only=False))
        error = "expected a windowed key, with the window's start in its last eight bytes"
        bad = [BadValue(int(row), error, array[int(row)].as_py() or b"") for row in rows]
        array = pc.if_else(long_enough, array, pa.scalar(bytes(_START_BYTES), pa.binary()))
    tails = b"".join(pc.binary_slice(array, -_START_BYTES).to_pylist())
    starts = np.frombuffer(tails, dtype=">i8").astype(np.int64)
    return BytesColumn(pc.binary_slice(array, 0, -_START_BYTES)), starts, bad
