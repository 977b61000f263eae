"""Upkeep of the log: packing, retention, compaction, giving space back.

It goes in small steps, each a short transaction of its own, so that no append waits long. A step
names the rows it replaces and does nothing where they have changed meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import CorruptBatch, HubUnavailable
from vagus.hub.local import batch, log
from vagus.hub.local.compaction import compact
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from vagus.hub.local.hub import LocalHub

LEASE_S = 30.0
_STEP_BYTES = 8 << 20
_STEP_ROWS = 256
_TAIL_ROWS_MIN = 8
_VACUUM_PAGES = 256
_FREE_BYTES_MIN = 8 << 20

_log = logging.getLogger("vagus.hub")


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A partition and how it is kept."""

    id: int
    partition: TopicPartition
    start: int
    end: int
    nbytes: int
    cleaned_to: int
    cleanup: str
    retention_s: float | None
    retention_bytes: int | None
    tombstone_retention_s: float


class Stopped(Exception):
    """The hub is closing: what is left to do can wait."""


class Housekeeper:
    """Keeps one hub in shape."""

    def __init__(self, hub: LocalHub) -> None:
        self._hub = hub
        self._holder = uuid.uuid4().hex
        self._mutex = threading.Lock()
        self._pause: Callable[[], bool] | None = None
        self._lease_until = 0.0
        self._packed: dict[int, int] = {}

    def run_if_leased(self, pause: Callable[[], bool]) -> None:
        """Do what is worth doing, unless another process is at it.

        `pause` is called between steps, and says whether to stop.
        """
        if self._mutex.acquire(blocking=False):
            try:
                if self._take_lease():
                    self._pause = pause
                    self._run(thorough=False)
            except Stopped:
                pass
            finally:
                self._drop_lease()
                self._pause = None
                self._mutex.release()

    def run(self) -> None:
        """Do all that can be done, now."""
        self._leased(lambda: self._run(thorough=True))

    def wipe(self, topic: str) -> None:
        """Compact a topic to its end, and leave nothing of what it superseded in the file."""
        self._leased(lambda: self._wipe(topic))

    def _leased(self, work: Callable[[], None]) -> None:
        """Work while no other process does; waits for it."""
        with self._mutex:
            deadline = time.monotonic() + LEASE_S + 5.0
            while not self._take_lease():
                if time.monotonic() > deadline:
                    raise HubUnavailable(
                        "expected to do the hub's upkeep, got another process at it",
                        where=self._hub.url,
                        hint="try again later",
                    )
                time.sleep(0.05)
            try:
                work()
            finally:
                self._drop_lease()

    def step(self, write: Callable[[sqlite3.Connection], object]) -> None:
        """One short transaction."""
        if self._pause is not None and self._pause():
            raise Stopped
        if self._hub.clock() > self._lease_until - LEASE_S / 2 and not self._take_lease():
            raise Stopped
        self._hub.committer.submit(write, sync=False, nbytes=_STEP_BYTES // 8, touches=frozenset())

    def _take_lease(self) -> bool:
        now = self._hub.clock()

        def take(db: sqlite3.Connection) -> bool:
            changed = db.execute(
                "INSERT INTO lease (name, holder, until) VALUES ('upkeep', :holder, :until)"
                " ON CONFLICT DO UPDATE SET holder = :holder, until = :until"
                " WHERE holder = :holder OR until < :now OR until > :latest",
                {
                    "holder": self._holder,
                    "until": now + LEASE_S,
                    "now": now,
                    "latest": now + 2 * LEASE_S,  # beyond it another clock must have been at work
                },
            )
            return changed.rowcount > 0

        taken = self._hub.committer.submit(take, sync=False, touches=frozenset())
        if taken:
            self._lease_until = now + LEASE_S
        return taken

    def _drop_lease(self) -> None:
        self._hub.committer.submit(
            lambda db: db.execute("DELETE FROM lease WHERE holder = ?", (self._holder,)),
            sync=False,
            touches=frozenset(),
        )

    def _run(self, *, thorough: bool) -> None:
        self._sweep()
        for keep in self._partitions():
            self._expire(keep)
        for keep in self._partitions():
            try:
                if "compact" in keep.cleanup:
                    compact(self._hub, keep, self.step, thorough=thorough)
                self._pack(keep, thorough=thorough)
            except CorruptBatch as error:
                _log.warning("upkeep leaves a partition as it is: %s", error)
        self._vacuum(thorough=thorough)

    def _wipe(self, topic: str) -> None:
        for keep in self._partitions():
            if keep.partition.topic == topic:
                compact(self._hub, keep, self.step, thorough=True, whole=True)
        self._vacuum(thorough=True)

    def _partitions(self) -> list[Upkeep]:
        with self._hub.storage.reading() as db:
            return [
                Upkeep(row[0], TopicPartition(row[1], row[2]), *row[3:])
                for row in db.execute(
                    "SELECT p.id, t.name, p.number, p.start_offset, p.end_offset, p.nbytes,"
                    " p.cleaned_to, t.cleanup, t.retention_s, t.retention_bytes,"
                    " t.tombstone_retention_s"
                    " FROM partition p JOIN topic t ON t.id = p.topic_id ORDER BY p.id"
                )
            ]

    def _sweep(self) -> None:
        """Remove the events of deleted topics."""
        while True:
            with self._hub.storage.reading() as db:
                row = db.execute("SELECT partition_id FROM dropped LIMIT 1").fetchone()
                rows = row and _first_rows(db, row[0])
            if row is None:
                return

            def remove(
                db: sqlite3.Connection,
                dropped: int = row[0],
                gone: list[tuple[int, int, int, int]] = rows,
            ) -> None:
                if gone:
                    _delete(db, [one[0] for one in gone])
                else:
                    db.execute("DELETE FROM dropped WHERE partition_id = ?", (dropped,))

            self.step(remove)

    def _expire(self, keep: Upkeep) -> None:
        """Remove events past their retention, from the oldest on, whole batches at a time."""
        if "delete" not in keep.cleanup:
            return
        nbytes = keep.nbytes
        while True:
            with self._hub.storage.reading() as db:
                rows = _first_rows(db, keep.id)
            gone = []
            for row in rows:
                _, _, max_timestamp, size = row
                old = (
                    keep.retention_s is not None
                    and max_timestamp < (self._hub.clock() - keep.retention_s) * 1000
                )
                much = keep.retention_bytes is not None and nbytes - size >= keep.retention_bytes
                if not (old or much):
                    break
                gone.append(row)
                nbytes -= size
            if not gone:
                return

            def remove(
                db: sqlite3.Connection, gone: list[tuple[int, int, int, int]] = gone
            ) -> None:
                if _delete(db, [row[0] for row in gone]) == len(gone):
                    db.execute(
                        "UPDATE partition SET start_offset = max(start_offset, ?),"
                        " nbytes = nbytes - ? WHERE id = ?",
                        (gone[-1][1] + 1, sum(row[3] for row in gone), keep.id),
                    )

            self.step(remove)

    def _pack(self, keep: Upkeep, *, thorough: bool) -> None:
        """Make large batches of small ones that follow each other."""
        if not thorough and self._packed.get(keep.id) == keep.end:
            return
        with self._hub.storage.reading() as db:
            rows = db.execute(
                "SELECT id, size FROM batch WHERE partition_id = ? ORDER BY base_offset",
                (keep.id,),
            ).fetchall()
        for start, stop in plan([size for _, size in rows], thorough=thorough):
            self._pack_rows(keep, [row for row, _ in rows[start:stop]])
        self._packed[keep.id] = keep.end

    def _pack_rows(self, keep: Upkeep, ids: list[int]) -> None:
        with self._hub.storage.reading() as db:
            found = [
                db.execute(
                    "SELECT base_offset, last_offset, size, crc, written_at, data FROM batch"
                    " WHERE id = ?",
                    (row,),
                ).fetchone()
                for row in ids
            ]
        if None in found:
            return
        first, packed = batch.pack(
            [(data, crc, base, last) for base, last, _, crc, _, data in found], keep.partition
        )
        written_at = max(row[4] for row in found)
        before = sum(row[2] for row in found)

        def replace(db: sqlite3.Connection) -> None:
            if _delete(db, ids) < len(ids):
                # Only a topic's deletion comes between, and then nothing is to be kept.
                return
            log.insert(db, keep.id, first, packed, written_at)
            db.execute(
                "UPDATE partition SET nbytes = nbytes + ? WHERE id = ?",
                (len(packed.data) - before, keep.id),
            )

        self.step(replace)

    def _vacuum(self, *, thorough: bool) -> None:
        """Give the file's free pages back, when they are many."""
        while True:
            with self._hub.storage.reading() as db:
                free = db.execute("PRAGMA freelist_count").fetchone()[0]
                pages = db.execute("PRAGMA page_count").fetchone()[0]
                page_bytes = db.execute("PRAGMA page_size").fetchone()[0]
            much = free * page_bytes > _FREE_BYTES_MIN and free * 5 > pages
            if not free or not (thorough or much):
                return
            self.step(
                lambda db: db.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            )


def plan(sizes: list[int], *, thorough: bool) -> list[tuple[int, int]]:
    """Which runs of batches, as [start, stop), are to become one each.

    The run at the end is still growing: of it, what is packed is as much as at least doubles the
    largest batch in it, so that over time each event is rewritten but a few times.
    """
    runs: list[tuple[int, int]] = []
    start = total = 0
    for at, size in enumerate(sizes):
        if size > batch.TARGET_BYTES // 2:
            runs.append((start, at))
            start, total = at + 1, 0
            continue
        total += size
        if total >= batch.TARGET_BYTES:
            runs.append((start, at + 1))
            start, total = at + 1, 0
    runs.append((start if thorough else _grown(sizes, start), len(sizes)))
    return [(a, b) for a, b in runs if b - a > 1]


def _grown(sizes: list[int], start: int) -> int:
    """Where the part of the last run begins that is worth packing."""
    found = len(sizes)
    total = largest = 0
    for at in range(len(sizes) - 1, start - 1, -1):
        total += sizes[at]
        largest = max(largest, sizes[at])
        if len(sizes) - at >= _TAIL_ROWS_MIN and total >= 2 * largest:
            found = at
    return found


def _first_rows(db: sqlite3.Connection, partition_id: int) -> list[tuple[int, int, int, int]]:
    """As many of the oldest batches as one step can remove.

    Each is its id, last offset, newest timestamp and size.
    """
    rows = []
    total = 0
    for row in db.execute(
        "SELECT id, last_offset, max_timestamp, size FROM batch WHERE partition_id = ?"
        " ORDER BY base_offset LIMIT ?",
        (partition_id, _STEP_ROWS),
    ):
        rows.append(row)
        total += row[3]
        if total > _STEP_BYTES:
            break
    return rows


def _delete(db: sqlite3.Connection, ids: list[int]) -> int:
    marks = ",".join("?" * len(ids))
    return db.execute(f"DELETE FROM batch WHERE id IN ({marks})", ids).rowcount
