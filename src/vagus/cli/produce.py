"""`vagus produce`: send the rows of a file to a topic."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, RegistryOption, example
from vagus.cli.place import open_hub
from vagus.cli.terminal import note, progress
from vagus.errors import EncodeError, VagusError

if TYPE_CHECKING:
    import polars as pl

    from vagus.cli.rows import Rows
    from vagus.events import KeyType, RecordSchema, Registry
    from vagus.hub import Hub, Records, TopicPartition

_BATCH = 65_536
_CHUNK_BYTES = 1 << 20


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.command(
        "produce",
        **example(
            "vagus produce bus-position positions.jsonl --key bus_id --time at",
            "vagus produce driver drivers.csv --key driver_id --partitions 2",
            "tail -f app.log | vagus produce log -",
        ),
    )(produce)


def produce(  # noqa: PLR0913 - a command's options
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")],
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON lines, CSV or Parquet; '-' is stdin.")
    ],
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="jsonl|csv|parquet",
            help="If the file's name doesn't tell it.",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", metavar="COLUMN", help="Which column is the key.", show_default=False
        ),
    ] = None,
    when: Annotated[
        str | None,
        typer.Option(
            "--time", metavar="COLUMN", help="Which column is the time.", show_default="now"
        ),
    ] = None,
    partitions: Annotated[
        int, typer.Option(min=1, help="Of the topic, if it has yet to be created.")
    ] = 1,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Send the rows of a file to a topic, all or none.

    They are written with the schema that the topic has. A new topic gets one that is inferred.
    Columns that begin with _ are not part of the event; what `vagus consume --json` prints can be
    sent again as it is. From stdin, JSON lines for a topic with a schema are sent as they come.
    """
    from vagus.cli.inputs import format_of, read_rows
    from vagus.hub import open_registry

    kind = format_of(file, form)
    if file != "-" and not Path(file).is_file():
        raise VagusError(f"no file {file}")
    with open_hub(hub, create=True) as opened:
        sender = _Sender(opened, open_registry(registry, opened), topic, key, when)
        if file == "-" and kind == "jsonl" and sender.schemas:
            count = sender.stream(partitions)
        else:
            data = sys.stdin.buffer.read() if file == "-" else Path(file)
            rows = read_rows(data, kind, sender.plain)
            count = sender.send_all(rows, partitions)
    note(f"sent {count:,} event{'s' if count != 1 else ''} to {topic}")


class _Sender:
    """Encodes rows as a topic wants them, and appends them."""

    def __init__(
        self, hub: Hub, registry: Registry, topic: str, key: str | None, when: str | None
    ) -> None:
        from vagus.cli.values import topic_schemas

        self._hub, self._name, self._key, self._when = hub, topic, key, when
        self._registry = registry
        self.schemas = topic_schemas(self._registry, topic)
        self.plain = [schema.plain for schema in self.schemas]
        self._there = topic in hub.topics()
        self._keyed = self._look() if self._there else None
        self._turn = 0
        self._partitions = hub.describe_topic(topic).config.partitions if self._there else 0

    def _look(self) -> bool | None:
        """Whether the topic's first event has a key; None if it has no event.

        Raises VagusError if it has events, but no schema that further ones could follow.
        """
        from vagus.cli.place import partitions_of

        places = partitions_of(self._hub, self._name)
        starts = self._hub.offsets(places, "earliest")
        with self._hub.reader(starts) as reader:
            for read in reader.read(max_records=1):
                if not self.schemas:
                    raise VagusError(
                        f"topic {self._name!r} has events that no registered schema describes",
                        hint="send to another topic, or from a program with vg.Client",
                    )
                return read.keys.null_count == 0
        return None

    def stream(self, partitions: int) -> int:
        """Send the lines of standard input as they come."""
        from vagus.cli.inputs import read_rows

        if not self._there:
            self._create(partitions)
        count, line = 0, 1
        for chunk in _chunks():
            try:
                rows = read_rows(chunk, "jsonl", self.plain, first_line=line)
                batches = self._encode(rows, self.schemas)
            except VagusError as error:
                already = f"the {count:,} events before are sent" if count else "nothing is sent"
                hint = f"{error.hint}; {already}" if error.hint else already
                raise VagusError(error.message, where=error.where, hint=hint) from error
            self._hub.append(batches)
            count += len(rows)
            line += chunk.count(b"\n")
        return count

    def send_all(self, rows: Rows, partitions: int) -> int:
        """Send all rows, or none: nothing is sent before all are found to be right."""
        from vagus.cli.inputs import infer_schema

        schemas = self.schemas
        if not schemas:
            schema, rows = infer_schema(self._name, rows)
            schemas = [schema]
        with progress(f"sending to {self._name}") as advance:
            # Half of the work is to write them as bytes, half to append them.
            self._partitions = self._partitions or partitions
            encoded = []
            for start in range(0, len(rows), _BATCH):
                encoded.append(self._encode(rows.slice(start, _BATCH), schemas))
                advance(min(start + _BATCH, len(rows)), 2 * len(rows))
            if not self._there:
                self._create(partitions)
            for number, batches in enumerate(encoded, 1):
                self._hub.append(batches)
                advance(len(rows) + min(number * _BATCH, len(rows)), 2 * len(rows))
        return len(rows)

    def _create(self, partitions: int) -> None:
        from vagus.hub import TopicConfig

        self._hub.create_topic(self._name, TopicConfig(partitions=partitions))
        self._there, self._partitions = True, partitions
        note(f"created topic {self._name}")

    def _check_key(self, rows: Rows) -> None:
        """Events with and without keys in one topic are most likely a mistake."""
        if self._keyed and self._key is None and "_key" not in rows.frame.columns:
            known = [name for name in rows.frame.columns if not name.startswith("_")]
            raise VagusError(
                f"the events of {self._name!r} have keys, these have none",
                hint=f"say --key with one of {', '.join(known)}",
            )

    def _encode(
        self, rows: Rows, schemas: list[RecordSchema]
    ) -> list[tuple[TopicPartition, Records]]:
        from vagus.hub import TopicPartition
        from vagus.hub.personkeys import PersonKeys
        from vagus.runtime.topic import Topic, TopicCodec

        self._check_key(rows)
        frame, kind = self._framed(rows)
        count = self._partitions
        self._turn += 1  # batches without keys go round all partitions
        codec = TopicCodec(Topic(self._name, tuple(schemas), key_kind=kind), self._registry)
        try:
            frame = PersonKeys.of(self._hub).seal(frame, codec.topic.marks)
            pieces = codec.encode(frame, count, unkeyed_partition=self._turn % count)
        except EncodeError as error:
            raise rows.wrong(error) from error
        return [(TopicPartition(self._name, number), records) for number, records, _ in pieces]

    def _framed(self, rows: Rows) -> tuple[pl.DataFrame, KeyType]:
        """The rows with what the engine wants to know of each."""
        import polars as pl

        from vagus.cli.inputs import keys, times_ms
        from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE
        from vagus.streams.fields import key_kind

        frame = rows.frame
        column = self._key or (KEY if KEY in frame.columns else None)
        key, kind = pl.repeat(None, len(rows), dtype=pl.String, eager=True), "str"
        if column is not None:
            key = keys(rows, column)
            if key.dtype.is_integer():
                key = key.cast(pl.Int64)
            kind = key_kind(rows.source, key.dtype)
        timed = self._when or (TIME if TIME in frame.columns else None)
        if timed is None:
            now = int(time.time() * 1000)
            stamps = pl.repeat(now, len(rows), dtype=pl.Int64, eager=True).cast(TIME_TYPE)
        else:
            stamps = times_ms(rows, timed)
        if TOMBSTONE not in frame.columns:
            frame = frame.with_columns(pl.lit(False).alias(TOMBSTONE))
        return frame.with_columns(key.alias(KEY), stamps.alias(TIME)), kind  # type: ignore[return-value]


def _chunks() -> Iterator[bytes]:
    """Whole lines of standard input, as soon as they are there."""
    rest = b""
    while chunk := os.read(sys.stdin.fileno(), _CHUNK_BYTES):
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield whole + newline
    if rest:
        yield rest
