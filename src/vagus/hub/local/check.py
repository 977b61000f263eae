"""Looking for damage: every checksum, the order of the offsets, SQLite's own structure."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import CorruptBatch, HubUnavailable
from vagus.hub.local import batch
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.hub.local.storage import Storage

_ROWS = 32


@dataclass(frozen=True, slots=True)
class Damage:
    """What is lost: the offsets from first to last (both included) of a partition."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` found. `structure` is what SQLite says of the file itself."""

    batches: int
    records: int
    damage: tuple[Damage, ...]
    structure: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Nothing is damaged."""
        return not self.damage and not self.structure


def check(storage: Storage, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Read everything. `progress` is called with batches done and batches in all."""
    damage: list[Damage] = []
    structure: list[str] = []
    batches = records = 0
    try:
        with storage.reading() as db:
            partitions = db.execute(
                "SELECT p.id, t.name, p.number, p.start_offset, p.end_offset"
                " FROM partition p JOIN topic t ON t.id = p.topic_id ORDER BY t.name, p.number"
            ).fetchall()
            total = db.execute("SELECT count(*) FROM batch").fetchone()[0]
            structure += [
                text for (text,) in db.execute("PRAGMA integrity_check(20)") if text != "ok"
            ]
        for id_, topic, number, start, end in partitions:
            partition = TopicPartition(topic, number)
            at = -1
            while True:
                # A snapshot for some rows at a time: a long one would keep the log growing.
                with storage.reading() as db:
                    rows = db.execute(
                        "SELECT id, base_offset, last_offset, count FROM batch"
                        " WHERE partition_id = ? AND base_offset > ?"
                        " ORDER BY base_offset LIMIT ?",
                        (id_, at, _ROWS),
                    ).fetchall()
                    for row, base, last, count in rows:
                        reason = _batch_problem(db, row, partition, base, last, count)
                        # A batch may begin before the start: trimming keeps what is in use whole.
                        if reason is None and not (at < base <= last and last >= start):
                            reason = f"expected offsets from {max(at + 1, start)} on, got {base}"
                        if reason is not None:
                            damage.append(Damage(topic, number, base, last, reason))
                        at = max(at, last)
                        batches += 1
                        records += count
                if progress is not None:
                    progress(batches, max(total, batches))
                if not rows:
                    break
            end = max(end, _end(storage, id_))
            if at >= end:
                damage.append(
                    Damage(topic, number, end, at, f"expected no offsets from {end} on, got {at}")
                )
    except HubUnavailable as error:
        structure.append(f"reading stopped: {error.message}")
    return CheckReport(batches, records, tuple(damage), tuple(structure))


def _end(storage: Storage, partition_id: int) -> int:
    with storage.reading() as db:
        row = db.execute(
            "SELECT end_offset FROM partition WHERE id = ?", (partition_id,)
        ).fetchone()
    return row[0] if row else 0


def _batch_problem(
    db: sqlite3.Connection, row: int, partition: TopicPartition, base: int, last: int, count: int
) -> str | None:
    try:
        crc, data = db.execute("SELECT crc, data FROM batch WHERE id = ?", (row,)).fetchone()
        found = batch.decode(data, crc, partition, base, last)
    except CorruptBatch:
        return "the stored bytes don't match their checksum"
    except sqlite3.DatabaseError as error:
        return f"the stored bytes can't be read ({error})"
    if len(found) != count:
        return f"expected {count} records, got {len(found)}"
    if not (found.offsets[0] == base and found.offsets[-1] <= last):
        return f"expected offsets {base} to {last}, got others"
    return None
