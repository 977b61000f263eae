"""`vagus consume`: read a topic."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example
from vagus.cli.place import offsets_of, open_hub, partitions_of
from vagus.cli.terminal import note, on_terminal, progress
from vagus.errors import VagusError

if TYPE_CHECKING:
    import polars as pl

    from vagus.cli.values import TopicReader
    from vagus.hub import FetchedRecords, Hub, Member, Reader, TopicPartition

_BATCH = 65_536
_FEW = 50  # what a terminal shows when nothing was said
_CELL = 40
_PATIENCE = 10  # reads without any partition, before a group's member gives up


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.command(
        "consume",
        **example(
            "vagus consume bus-position --from 10m --follow",
            "vagus consume bus-position --json --limit 5",
            "vagus consume bus-position --from 2026-01-31 --until 2026-02-01 --parquet day.parquet",
        ),
    )(consume)


def consume(  # noqa: PLR0913 - a command's options
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")],
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="PLACE",
            help="earliest, latest, an offset, a time, or an age as 10m.",
            show_default="earliest",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="PLACE", help="Where to end, likewise.", show_default="the end now"
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for new events.", show_default=False)
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="GROUP",
            help="Read on where this consumer group is, and move it on.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", min=1, help="How many events at most.")
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", help="Only this partition.", show_default=False)
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", metavar="FILE", help="Write a Parquet file.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Read a topic: as a table on a terminal, as JSON lines when piped or with --json.

    Order holds within a partition. A time stands for the first event at or after it.
    """
    _check(start, until, follow, group, partition, parquet)
    as_table = on_terminal() and not as_json and parquet is None
    cut = as_table and limit is None and not follow
    with open_hub(hub) as opened:
        partitions = partitions_of(opened, topic, partition)
        ends = None if follow else offsets_of(opened, partitions, until or "latest")
        with _reader(opened, topic, partitions, start, group) as reader:
            reads = _reads(reader, ends, _FEW if cut else limit)
            values = _values(opened, topic, registry)
            if parquet is not None:
                _write_parquet(values, reads, reader, ends, parquet)
            else:
                _print(values, reads, as_table=as_table)
        if cut and ends is not None:
            left = sum(max(0, end - reader.positions().get(tp, end)) for tp, end in ends.items())
            if left:
                note(f"… {left:,} more: --limit N shows more, --json or --parquet all")


def _check(
    start: str | None,
    until: str | None,
    follow: bool,
    group: str | None,
    partition: int | None,
    parquet: Path | None,
) -> None:
    problems = [
        (follow and until is not None, "--follow has no end: leave out --until"),
        (follow and parquet is not None, "a Parquet file needs an end: leave out --follow"),
        (
            group is not None and start not in (None, "earliest", "latest"),
            "a group reads on where it is; `vagus group reset` moves it",
        ),
        (
            group is not None and partition is not None,
            "a group is given its partitions: leave out --partition",
        ),
    ]
    for wrong, what in problems:
        if wrong:
            raise typer.BadParameter(what)


@contextmanager
def _reader(
    hub: Hub, topic: str, partitions: list[TopicPartition], start: str | None, group: str | None
) -> Iterator[Reader]:
    if group is None:
        with hub.reader(offsets_of(hub, partitions, start or "earliest")) as reader:
            yield reader
        return
    place: Any = start or "earliest"
    with hub.join(group, [topic], start=place, client_id="vagus-consume") as member:
        yield member


def _reads(
    reader: Reader, ends: dict[TopicPartition, int] | None, limit: int | None
) -> Iterator[FetchedRecords]:
    """What there is before the ends, up to a limit; what was taken is committed for a group."""
    from vagus.hub import Member

    member = reader if isinstance(reader, Member) else None
    left, idle = limit, 0
    while not _done(reader, ends) and idle < _PATIENCE and left != 0:
        wanted = _BATCH if left is None else min(left, _BATCH)
        for read in reader.read(max_records=wanted, wait_s=1.0):
            taken = _before(read, ends, left)
            if left is not None:
                left -= len(taken)
            if len(taken):
                yield taken
            if member is not None:
                _commit(member, read, taken)
        idle = 0 if reader.positions() or ends is None else idle + 1
    if idle:
        note("vagus: no partition was free: other members of the group read them all")


def _done(reader: Reader, ends: dict[TopicPartition, int] | None) -> bool:
    positions = reader.positions()
    if ends is None or not positions:
        return False
    done = [tp for tp, at in positions.items() if at >= ends[tp]]
    reader.pause(done)
    return len(done) == len(positions)


def _before(
    read: FetchedRecords, ends: dict[TopicPartition, int] | None, left: int | None
) -> FetchedRecords:
    count = len(read)
    if ends is not None:
        count = int(read.offsets.searchsorted(ends[read.partition]))
    if left is not None:
        count = min(count, left)
    return read if count == len(read) else read.slice(0, count)


def _commit(member: Member, read: FetchedRecords, taken: FetchedRecords) -> None:
    if len(taken) == len(read):
        position = read.next_offset
    elif len(taken):
        position = int(taken.offsets[-1]) + 1
    else:
        return
    sys.stdout.flush()  # what is committed has been handed on
    member.commit({read.partition: position})


def _values(hub: Hub, topic: str, registry: str | None) -> TopicReader:
    from vagus.cli.values import TopicReader
    from vagus.hub import open_registry

    return TopicReader(hub, topic, open_registry(registry, hub))


def _print(values: TopicReader, reads: Iterator[FetchedRecords], *, as_table: bool) -> None:
    table = _Table()
    for read in reads:
        if as_table:
            table.show(values.frame(read))
        else:
            sys.stdout.write("".join(line.decode() + "\n" for line in values.lines(read)))
        sys.stdout.flush()


class _Table:
    """A table that grows: the widths of its columns are those of the first rows."""

    def __init__(self) -> None:
        self._columns: list[tuple[str, int, bool]] = []

    def show(self, frame: pl.DataFrame) -> None:
        """Print these rows."""
        from vagus.cli.terminal import console

        rows = [{name: _cell(value) for name, value in row.items()} for row in frame.to_dicts()]
        out, fresh = console(), not self._columns
        if fresh:
            for name, dtype in frame.schema.items():
                if name in ("_tombstone", "_error"):
                    continue
                widest = max(len(row[name]) for row in rows)
                width = min(max(widest, len(name.lstrip("_"))), _CELL)
                self._columns.append((name, width, dtype.is_numeric()))
            titles = {name: name.lstrip("_") for name, _, _ in self._columns}
            out.print(self._line(titles), style="bold", markup=False, no_wrap=True, crop=True)
        for row in rows:
            line = self._line(row)
            if row["_error"]:
                line += "  unreadable: " + row["_error"]
            elif row["_tombstone"] == "True":
                line = line.rstrip() + "  (deleted)"
            out.print(line, markup=False, no_wrap=True, overflow="ellipsis", crop=True)

    def _line(self, row: dict[str, str]) -> str:
        cells = []
        for name, width, right in self._columns:
            text = row.get(name, "")
            text = text if len(text) <= width else text[: width - 1] + "…"
            cells.append(text.rjust(width) if right else text.ljust(width))
        return "  ".join(cells).rstrip()


def _cell(value: Any) -> str:
    from vagus.cli.values import to_line

    if value is None:
        return ""
    if isinstance(value, (str, int)):
        return str(value)
    return to_line(value).decode().strip('"')


def _write_parquet(
    values: TopicReader,
    reads: Iterator[FetchedRecords],
    reader: Reader,
    ends: dict[TopicPartition, int] | None,
    path: Path,
) -> None:
    """Write a file that gets its name when it is whole."""
    import pyarrow.parquet as pq

    unfinished = path.with_name(path.name + ".unfinished")
    count = 0
    total = sum(max(0, end - reader.positions().get(tp, 0)) for tp, end in (ends or {}).items())
    writer: Any = None
    try:
        with progress(f"writing {path.name}") as advance:
            for read in reads:
                table = values.frame(read).to_arrow()
                if writer is None:
                    writer = pq.ParquetWriter(unfinished, table.schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
                count += len(read)
                advance(count, max(count, total))
        if writer is None:
            raise VagusError(
                f"there is nothing to read in {values.topic!r} from there on",
                hint="no file was written; `vagus topic describe` shows what there is",
            )
        writer.close()
        writer = None
        os.replace(unfinished, path)
    finally:
        if writer is not None:
            writer.close()
        unfinished.unlink(missing_ok=True)
    note(f"wrote {count:,} events to {path}")
