"""Topics and their partitions, as rows. Every function works within its caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import TopicExists, UnknownTopic
from vagus.hub import rules
from vagus.hub.contract import PartitionInfo, TopicConfig, TopicInfo

if TYPE_CHECKING:
    import sqlite3

    from vagus.hub.records import TopicPartition


@dataclass(frozen=True, slots=True)
class Place:
    """A partition's row."""

    id: int
    start: int
    end: int
    topic_id: int
    keyed: bool
    compacted: bool


def names(db: sqlite3.Connection) -> list[str]:
    """All topics, sorted."""
    return [name for (name,) in db.execute("SELECT name FROM topic ORDER BY name")]


def create(db: sqlite3.Connection, name: str, config: TopicConfig) -> None:
    """Add a topic. Raises TopicExists."""
    if db.execute("SELECT 1 FROM topic WHERE name = ?", (name,)).fetchone():
        raise TopicExists(f"there is a topic {name!r} already", hint="use it, or delete it first")
    made = db.execute(
        "INSERT INTO topic (name, cleanup, retention_s, retention_bytes, tombstone_retention_s)"
        " VALUES (?, ?, ?, ?, ?)",
        (
            name,
            config.cleanup,
            config.retention_s,
            config.retention_bytes,
            config.tombstone_retention_s,
        ),
    )
    _add_partitions(db, made.lastrowid, range(config.partitions))


def describe(db: sqlite3.Connection, name: str) -> TopicInfo:
    """A topic's configuration and extent. Raises UnknownTopic."""
    row = db.execute(
        "SELECT id, cleanup, retention_s, retention_bytes, tombstone_retention_s"
        " FROM topic WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None:
        raise UnknownTopic(name, names(db))
    partitions = tuple(
        PartitionInfo(*values)
        for values in db.execute(
            "SELECT number, start_offset, end_offset, nbytes FROM partition"
            " WHERE topic_id = ? ORDER BY number",
            (row[0],),
        )
    )
    config = TopicConfig(
        partitions=len(partitions),
        cleanup=row[1],
        retention_s=row[2],
        retention_bytes=row[3],
        tombstone_retention_s=row[4],
    )
    return TopicInfo(name, config, partitions)


def alter(db: sqlite3.Connection, name: str, config: TopicConfig, *, force: bool) -> None:
    """Give a topic a new configuration; see `Hub.alter_topic`."""
    now = describe(db, name).config
    topic_id, keyed = db.execute("SELECT id, keyed FROM topic WHERE name = ?", (name,)).fetchone()
    rules.check_partitions(
        name, now.partitions, config.partitions, lambda: bool(keyed) and not force
    )
    db.execute(
        "UPDATE topic SET cleanup = ?, retention_s = ?, retention_bytes = ?,"
        " tombstone_retention_s = ? WHERE id = ?",
        (
            config.cleanup,
            config.retention_s,
            config.retention_bytes,
            config.tombstone_retention_s,
            topic_id,
        ),
    )
    _add_partitions(db, topic_id, range(now.partitions, config.partitions))


def delete(db: sqlite3.Connection, name: str) -> None:
    """Remove a topic and the positions in it. Raises UnknownTopic.

    Its events are out of reach at once; housekeeping removes them step by step.
    """
    row = db.execute("SELECT id FROM topic WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UnknownTopic(name, names(db))
    db.execute("INSERT INTO dropped SELECT id FROM partition WHERE topic_id = ?", row)
    db.execute("DELETE FROM partition WHERE topic_id = ?", row)
    db.execute("DELETE FROM position WHERE topic = ?", (name,))
    db.execute("DELETE FROM ownership WHERE topic = ?", (name,))
    db.execute("DELETE FROM topic WHERE id = ?", row)


def trim(db: sqlite3.Connection, partition: TopicPartition, offset: int) -> None:
    """Move a partition's start on; what lies in a batch with later events stays stored."""
    at = place(db, partition)
    start = min(offset, at.end)
    if start <= at.start:
        return
    (freed,) = db.execute(
        "SELECT coalesce(sum(size), 0) FROM batch WHERE partition_id = ? AND last_offset < ?",
        (at.id, start),
    ).fetchone()
    db.execute("DELETE FROM batch WHERE partition_id = ? AND last_offset < ?", (at.id, start))
    db.execute(
        "UPDATE partition SET start_offset = ?, nbytes = nbytes - ? WHERE id = ?",
        (start, freed, at.id),
    )


def place(db: sqlite3.Connection, partition: TopicPartition) -> Place:
    """A partition's row. Raises UnknownTopic."""
    row = db.execute(
        "SELECT p.id, p.start_offset, p.end_offset, t.id, t.keyed, t.cleanup"
        " FROM topic t JOIN partition p ON p.topic_id = t.id WHERE t.name = ? AND p.number = ?",
        tuple(partition),
    ).fetchone()
    if row is not None:
        return Place(row[0], row[1], row[2], row[3], bool(row[4]), "compact" in row[5])
    numbers = db.execute(
        "SELECT p.number FROM topic t JOIN partition p ON p.topic_id = t.id WHERE t.name = ?",
        (partition.topic,),
    ).fetchall()
    if not numbers:
        raise UnknownTopic(partition.topic, names(db))
    raise UnknownTopic(
        f"{partition.topic}[{partition.partition}]",
        [f"{partition.topic}[{number}]" for (number,) in numbers],
    )


def _add_partitions(db: sqlite3.Connection, topic_id: int | None, numbers: range) -> None:
    db.executemany(
        "INSERT INTO partition (topic_id, number) VALUES (?, ?)",
        [(topic_id, number) for number in numbers],
    )
