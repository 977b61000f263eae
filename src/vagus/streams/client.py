"""The client: sends events to an application's topics and reads them, from Python."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import EncodeError, TopicExists
from vagus.events import Event
from vagus.hub import Records, TopicPartition, connect, open_registry
from vagus.hub.contract import Closing
from vagus.hub.personkeys import PersonKeys
from vagus.hub.reading import read_all
from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.spans import sending
from vagus.runtime.topic import WINDOW_START, Topic, TopicCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vagus.events import Metadata, Registry
    from vagus.hub import Acks, Hub
    from vagus.streams.app import App
    from vagus.streams.flow import Flow


class Client(Closing):
    """Typed access to a hub's topics, as an application declares them.

    Topics that are missing are created when they are first sent to. `registry` is where schemas
    are, or its URL; without one they are kept in the hub.

    >>> import vagus as vg
    >>> class Reading(vg.Event):
    ...     sensor: str
    ...     celsius: float
    >>> app = vg.App("weather")
    >>> readings = app.topic("reading", Reading, key="sensor")
    >>> with vg.Client(app, ":memory:") as client:
    ...     positions = client.send(readings, Reading(sensor="roof", celsius=21.5))
    ...     client.read(readings).select("sensor", "celsius").row(0)
    ('roof', 21.5)
    """

    def __init__(
        self,
        app: App,
        hub: Hub | str = "vagus.db",
        *,
        registry: Registry | str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self._own = isinstance(hub, str)
        self.hub: Hub = connect(hub) if isinstance(hub, str) else hub
        self.registry: Registry = open_registry(registry, self.hub)
        self.keys = PersonKeys.of(self.hub)
        self._clock = clock
        self._codecs: dict[str, TopicCodec] = {}
        self._counts: dict[str, int] = {}

    def send(
        self,
        topic: Flow | str,
        events: Event | Iterable[Event] | pl.DataFrame,
        *,
        key: Any = None,
        acks: Acks = "all",
        metadata: Metadata | None = None,
    ) -> dict[TopicPartition, int]:
        """Append events, or a frame of them; the offset after the last one in each partition.

        `key` is for topics that name no key field. Raises EncodeError if an event doesn't fit.
        """
        typed = self.topic(topic)
        frame = self.keys.seal(self._frame(typed, events, key), typed.marks)
        with sending(typed.name, metadata) as traced:
            return self._append(typed, frame, acks, traced)

    def delete(
        self, table: Flow | str, keys: Any | Sequence[Any], *, acks: Acks = "all"
    ) -> dict[TopicPartition, int]:
        """Append deletions of these keys to a table's topic."""
        typed = self.topic(table)
        listed = keys if isinstance(keys, (list, tuple)) else [keys]
        frame = typed.empty.clear(len(listed)).with_columns(
            pl.Series(KEY, listed, dtype=typed.key_type),
            pl.lit(self._now_ms()).cast(TIME_TYPE).alias(TIME),
            pl.lit(True).alias(TOMBSTONE),
        )
        return self._append(typed, frame, acks, None)

    def read(self, topic: Flow | str, *, offsets: bool = False) -> pl.DataFrame:
        """All that is in a topic now, partition by partition, with `_key`, `_time`, `_tombstone`.

        With `offsets` also `_partition` and `_offset`. Raises DecodeError for events that can't
        be read.
        """
        from vagus.errors import DecodeError

        typed = self.topic(topic)
        count = self._partition_count(typed)
        partitions = [TopicPartition(typed.name, number) for number in range(count)]
        frames: dict[int, list[pl.DataFrame]] = {number: [] for number in range(count)}
        for read in read_all(self.hub, partitions):
            decoded = self._codec(typed).decode(read)
            for failure in decoded.failures:
                raise DecodeError(
                    failure.error,
                    where=f"{typed.name}, partition {read.partition.partition}, offset "
                    f"{read.offsets[failure.row]}",
                )
            frame = decoded.frame.with_columns(
                pl.lit(read.partition.partition).cast(pl.Int32).alias("_partition"),
                pl.Series("_offset", read.offsets).gather(decoded.frame["_row"]),
            )
            frames[read.partition.partition].append(self.keys.open(frame, typed.marks))
        extra = ["_partition", "_offset"] if offsets else []
        columns = [*extra, KEY, TIME, TOMBSTONE, *_values(typed)]
        pieces = [frame for number in sorted(frames) for frame in frames[number]]
        if not pieces:
            kinds = {"_partition": pl.Int32(), "_offset": pl.Int64()}
            schema = {**kinds, **self.keys.open(typed.empty, typed.marks).schema}
            return pl.DataFrame(schema={name: schema[name] for name in columns})
        return pl.concat([frame.select(columns) for frame in pieces])

    def forget(self, person: str | int) -> bool:
        """Erase a person's data for good: what is marked `vg.Personal` reads as None from then on.

        `person` is the id, as in the fields that the marks name. Whether there was anything.
        """
        return self.keys.forget(str(person))

    def topic(self, topic: Flow | str) -> Topic:
        """The declared topic that a name, a stream or a table stands for."""
        from vagus.errors import DeclarationError, nearest

        name = topic if isinstance(topic, str) else topic.base
        if name not in self.app.topics:
            raise DeclarationError(
                f"no topic {name!r} is declared",
                where=self.app.name,
                hint=nearest(name, self.app.topics)
                or f"there are {', '.join(sorted(self.app.topics))}",
            )
        return self.app.topics[name]

    def close(self) -> None:
        """Close the hub, if it was opened here."""
        if self._own:
            self.hub.close()

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    def _codec(self, topic: Topic) -> TopicCodec:
        if topic.name not in self._codecs:
            self._codecs[topic.name] = TopicCodec(topic, self.registry)
        return self._codecs[topic.name]

    def _partition_count(self, topic: Topic) -> int:
        if topic.name not in self._counts:
            with contextlib.suppress(TopicExists):
                self.hub.create_topic(topic.name, topic.config)
            self._counts[topic.name] = self.hub.describe_topic(topic.name).config.partitions
        return self._counts[topic.name]

    def _frame(
        self, topic: Topic, events: Event | Iterable[Event] | pl.DataFrame, key: Any
    ) -> pl.DataFrame:
        if isinstance(events, pl.DataFrame):
            frame = events
        else:
            frame = topic.frame([events] if isinstance(events, Event) else list(events))
        now = pl.lit(self._now_ms()).cast(TIME_TYPE)
        moment = pl.col(topic.time).cast(TIME_TYPE) if topic.time else now
        keyed = pl.col(topic.key) if topic.key else pl.lit(key)
        if KEY not in frame.columns:
            frame = frame.with_columns(keyed.cast(topic.key_type).alias(KEY))
        if TIME not in frame.columns:
            frame = frame.with_columns(moment.alias(TIME))
        if TOMBSTONE not in frame.columns:
            frame = frame.with_columns(pl.lit(False).alias(TOMBSTONE))
        return frame

    def _append(
        self, topic: Topic, frame: pl.DataFrame, acks: Acks, metadata: Metadata | None
    ) -> dict[TopicPartition, int]:
        if frame[TIME].null_count() or (frame.height and frame[TIME].to_physical().min() < 0):  # type: ignore[operator]
            raise EncodeError(
                "expected every event to have a time since 1970", where=f"topic {topic.name!r}"
            )
        pieces = self._codec(topic).encode(frame, self._partition_count(topic))
        batches = []
        for number, records, _ in pieces:
            if metadata is not None:
                headers = [metadata.to_headers()] * len(records)
                records = Records(records.keys, records.values, records.timestamps, headers)
            batches.append((TopicPartition(topic.name, number), records))
        firsts = self.hub.append(batches, acks=acks)
        return {
            partition: first + len(records) if first >= 0 else -1
            for (partition, records), first in zip(batches, firsts, strict=True)
        }


def _values(topic: Topic) -> list[str]:
    columns = list(topic.columns)
    if topic.windowed and WINDOW_START not in columns:
        columns.append(WINDOW_START)
    return columns
