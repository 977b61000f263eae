"""Compaction: of each key only the last event is kept, at the offset it has.

The batches that came since the last time (the dirty ones) say which keys have newer events; then
every batch up to them is gone through, and what they supersede is taken out. The newest batch is
left alone. A tombstone stays for its retention, counted from when it was written, so that every
reader that isn't too slow hears of the deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from vagus.events.column import truths
from vagus.hub.local import batch

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from vagus.hub.local.housekeeping import Upkeep
    from vagus.hub.local.hub import LocalHub
    from vagus.hub.records import FetchedRecords

_DIRTY_BYTES_MAX = 64 << 20
_GROUP_BYTES = 8 << 20
_STEP_BATCHES = 32  # of a step, which keeps writers waiting for a millisecond or so


@dataclass(frozen=True, slots=True)
class _Row:
    """A batch, without its data."""

    id: int
    base: int
    last: int
    size: int


def compact(
    hub: LocalHub,
    keep: Upkeep,
    step: Callable[[Callable[[sqlite3.Connection], object]], None],
    *,
    thorough: bool,
    whole: bool = False,
) -> None:
    """Compact a partition if it is worth it: when half of it is dirty, or when `thorough`.

    The newest batch, which is left alone otherwise, is part of the `whole`.
    """
    with hub.storage.reading() as db:
        rows = [
            _Row(*values)
            for values in db.execute(
                "SELECT id, base_offset, last_offset, size FROM batch WHERE partition_id = ?"
                " ORDER BY base_offset",
                (keep.id,),
            )
        ]
    rows = rows if whole else rows[:-1]
    dirty = [row for row in rows if row.last >= keep.cleaned_to]
    worth = sum(row.size for row in dirty) * 2 >= sum(row.size for row in rows)
    if not rows or not (thorough or (dirty and worth)):
        return
    tombstones_before = int((hub.clock() - keep.tombstone_retention_s) * 1000)
    for part in _groups(dirty, _DIRTY_BYTES_MAX) if dirty else iter([rows[-1:]]):
        newest = _newest(hub, keep, part)
        for group in _groups([row for row in rows if row.base <= part[-1].base], _GROUP_BYTES):
            _clean(hub, keep, group, newest, tombstones_before, step)
        cleaned_to = part[-1].last + 1
        step(
            lambda db, to=cleaned_to: db.execute(  # type: ignore[misc]
                "UPDATE partition SET cleaned_to = max(cleaned_to, ?) WHERE id = ?",
                (to, keep.id),
            )
        )


def _groups(rows: list[_Row], nbytes: int) -> Iterator[list[_Row]]:
    """Neighbouring rows of about `nbytes` together."""
    group: list[_Row] = []
    total = 0
    for row in rows:
        group.append(row)
        total += row.size
        if total >= nbytes:
            yield group
            group, total = [], 0
    if group:
        yield group


def _load(
    hub: LocalHub, keep: Upkeep, rows: list[_Row]
) -> list[tuple[_Row, int, int, FetchedRecords]]:
    """The rows that are still there, each with checksum, time of writing and records."""
    loaded = []
    with hub.storage.reading() as db:
        for row in rows:
            found = db.execute(
                "SELECT base_offset, size, crc, written_at, data FROM batch"
                " WHERE id = ? AND last_offset = ?",
                (row.id, row.last),
            ).fetchone()
            if found is not None:
                base, size, crc, written_at, data = found
                records = batch.decode(data, crc, keep.partition, base, row.last)
                loaded.append((_Row(row.id, base, row.last, size), crc, written_at, records))
    return loaded


def _newest(hub: LocalHub, keep: Upkeep, rows: list[_Row]) -> pl.DataFrame:
    """The last offset of each key in these rows."""
    frames = [_frame(records) for *_, records in _load(hub, keep, rows)]
    if not frames:
        return pl.DataFrame(schema={"key": pl.Binary, "newest": pl.Int64})
    return (
        pl.concat(frames)
        .drop_nulls("key")
        .group_by("key")
        .agg(pl.col("offset").max().alias("newest"))
    )


def _frame(records: FetchedRecords) -> pl.DataFrame:
    keys = pl.Series("key", records.keys.to_arrow(), dtype=pl.Binary)
    return pl.DataFrame([keys, pl.Series("offset", records.offsets)])


def _clean(
    hub: LocalHub,
    keep: Upkeep,
    rows: list[_Row],
    newest: pl.DataFrame,
    tombstones_before: int,
    step: Callable[[Callable[[sqlite3.Connection], object]], None],
) -> None:
    loaded = _load(hub, keep, rows)
    if not loaded:
        return
    frame = pl.concat([_frame(records) for *_, records in loaded])
    joined = frame.join(newest, on="key", how="left", maintain_order="left")
    current = joined.select(
        pl.col("newest").is_null() | (pl.col("offset") >= pl.col("newest"))
    ).to_series()
    kept = current.to_numpy()
    replacements = []
    start = 0
    for row, crc, written_at, records in loaded:
        stay = kept[start : start + len(records)]
        start += len(records)
        if written_at < tombstones_before and records.values.null_count:
            deleted = truths(records.values.to_arrow().is_null())
            keyed = truths(records.keys.to_arrow().is_valid())
            stay = stay & ~(deleted & keyed)
        if not stay.all():
            replacements.append(_replacement(keep, row, crc, records, np.flatnonzero(stay)))
        if len(replacements) == _STEP_BATCHES:
            step(_all(replacements))
            replacements = []
    if replacements:
        step(_all(replacements))


def _all(
    replacements: list[Callable[[sqlite3.Connection], None]],
) -> Callable[[sqlite3.Connection], None]:
    """Several in one step."""

    def replace(db: sqlite3.Connection) -> None:
        for one in replacements:
            one(db)

    return replace


def _replacement(
    keep: Upkeep, row: _Row, crc: int, records: FetchedRecords, places: NDArray[np.intp]
) -> Callable[[sqlite3.Connection], None]:
    """What puts the records at `places` where the whole batch was."""
    part = batch.encode_fetched(batch.take(records, places)) if len(places) else None

    def replace(db: sqlite3.Connection) -> None:
        if part is None:
            changed = db.execute(
                "DELETE FROM batch WHERE id = ? AND crc = ? AND size = ?", (row.id, crc, row.size)
            )
        else:
            base = int(records.offsets[places[0]])
            changed = db.execute(
                "UPDATE batch SET base_offset = ?, last_offset = ?, count = ?,"
                " min_timestamp = ?, max_timestamp = ?, size = ?, crc = ?, data = ?"
                " WHERE id = ? AND crc = ? AND size = ?",
                (
                    base,
                    base + part.last_delta,
                    part.count,
                    part.min_timestamp,
                    part.max_timestamp,
                    len(part.data),
                    part.crc,
                    part.data,
                    row.id,
                    crc,
                    row.size,
                ),
            )
        if changed.rowcount:
            after = len(part.data) if part is not None else 0
            db.execute(
                "UPDATE partition SET nbytes = nbytes + ? WHERE id = ?",
                (after - row.size, keep.id),
            )

    return replace
