"""The log of a partition: batches appended at its end, read from any place.

Every function works within its caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vagus.errors import HubError
from vagus.hub.local import batch as batches
from vagus.hub.local import topics

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from vagus.hub.contract import At
    from vagus.hub.local.batch import EncodedBatch
    from vagus.hub.records import FetchedRecords, Records, TopicPartition

_LARGE_BYTES = 64 << 10

Encoded = list[tuple["TopicPartition", "list[EncodedBatch]"]]
Newest = dict[int, tuple[int, "EncodedBatch"]]
"""The last batch that was appended to a partition, by the number of its row, and its offset."""


def encode(records: Sequence[tuple[TopicPartition, Records]]) -> tuple[Encoded, int]:
    """What is to be appended, as blobs, and how many bytes they have."""
    encoded = [(partition, batches.encode(part)) for partition, part in records]
    return encoded, sum(len(one.data) for _, parts in encoded for one in parts)


def append(db: sqlite3.Connection, encoded: Encoded, written_at: int, newest: Newest) -> list[int]:
    """Append blobs at the ends of their partitions; the first offset of each entry.

    All that can be refused is refused before anything is written. The last blob of each partition
    becomes the `newest`.
    """
    places = {partition: topics.place(db, partition) for partition, _ in encoded}
    for partition, parts in encoded:
        if places[partition].compacted and any(part.has_null_keys for part in parts):
            raise HubError(
                "expected a key for each record of a compacted topic, got a null one",
                where=f"{partition.topic}[{partition.partition}]",
                hint="give the records keys, or change the topic's cleanup",
            )
    ends = {partition: place.end for partition, place in places.items()}
    grown = dict.fromkeys(places, 0)
    firsts = []
    for partition, parts in encoded:
        at = ends[partition]
        firsts.append(at)
        for part in parts:
            insert(db, places[partition].id, at, part, written_at)
            newest[places[partition].id] = at, part
            at += part.last_delta + 1
            grown[partition] += len(part.data)
            if part.has_keys and not places[partition].keyed:
                db.execute(
                    "UPDATE topic SET keyed = 1 WHERE id = ? AND keyed = 0",
                    (places[partition].topic_id,),
                )
        ends[partition] = at
    for partition, place in places.items():
        if ends[partition] > place.end:
            db.execute(
                "UPDATE partition SET end_offset = ?, nbytes = nbytes + ? WHERE id = ?",
                (ends[partition], grown[partition], place.id),
            )
    return firsts


def insert(
    db: sqlite3.Connection,
    partition_id: int,
    base_offset: int,
    part: EncodedBatch,
    written_at: int,
) -> None:
    """Add a batch's row."""
    db.execute(
        "INSERT INTO batch (partition_id, base_offset, last_offset, count, min_timestamp,"
        " max_timestamp, written_at, size, crc, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            partition_id,
            base_offset,
            base_offset + part.last_delta,
            part.count,
            part.min_timestamp,
            part.max_timestamp,
            written_at,
            len(part.data),
            part.crc,
            part.data,
        ),
    )


def stored(
    db: sqlite3.Connection, partition_id: int, partition: TopicPartition, offset: int
) -> Iterator[tuple[int, FetchedRecords]]:
    """Size and records of each batch from the one that holds `offset` on, read one by one."""
    found = db.execute(
        "SELECT id, base_offset, last_offset, size, crc, iif(size < :large, data, NULL) FROM batch"
        " WHERE partition_id = :id AND base_offset >= coalesce((SELECT max(base_offset) FROM batch"
        " WHERE partition_id = :id AND base_offset <= :offset), 0) ORDER BY base_offset",
        {"id": partition_id, "offset": offset, "large": _LARGE_BYTES},
    )
    try:
        for row, base, last, size, crc, data in found:
            if last >= offset:
                blob = data if data is not None else _large(db, row)
                yield size, batches.decode(blob, crc, partition, base, last)
    finally:
        found.close()


def _large(db: sqlite3.Connection, row: int) -> bytes:
    # Saves a copy, which for a large blob is worth more than opening it costs.
    with db.blobopen("batch", "data", row, readonly=True) as blob:
        return blob.read()


def offset_at(db: sqlite3.Connection, partition: TopicPartition, at: At) -> int:
    """The offset of a place in a partition."""
    place = topics.place(db, partition)
    if at == "earliest":
        return place.start
    if at == "latest":
        return place.end
    from_offset = place.start
    while True:
        row = db.execute(
            "SELECT base_offset, last_offset, crc, data FROM batch WHERE id = ("
            "SELECT id FROM batch WHERE partition_id = ? AND last_offset >= ?"
            " AND max_timestamp >= ? ORDER BY base_offset LIMIT 1)",
            (place.id, from_offset, at),
        ).fetchone()
        if row is None:
            return place.end
        base, last, crc, data = row
        records = batches.decode(data, crc, partition, base, last)
        late = np.flatnonzero((records.timestamps >= at) & (records.offsets >= place.start))
        if len(late):
            return int(records.offsets[late[0]])
        from_offset = last + 1  # the late ones of this batch were trimmed away
