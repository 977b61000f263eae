"""The newest batch of each partition, as this process wrote it.

Whoever keeps up reads just that, and needs neither the file for it nor a checksum. It is kept where
it is small, as are those whose records wait for nobody to gather them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagus.hub.local.batch import decode_given

if TYPE_CHECKING:
    from vagus.hub.local.log import Newest
    from vagus.hub.records import FetchedRecords, TopicPartition

__all__ = ["Tail"]

_BATCH_BYTES = 64 << 10
_BATCHES = 128


class Tail:
    """Batches that are committed, by the number of their partition's row.

    Such a row, and a place in it, is never used again for something else. So what is kept here
    stays true, whoever writes, trims or deletes: a reader looks where a partition begins and ends
    before it asks.
    """

    def __init__(self) -> None:
        self._batches: Newest = {}

    def __len__(self) -> int:
        return len(self._batches)

    def keep(self, newest: Newest) -> None:
        """Keep these instead of older ones of their partitions. One thread at a time does."""
        for partition_id, (base_offset, batch) in newest.items():
            self._batches.pop(partition_id, None)
            if len(batch.data) <= _BATCH_BYTES:
                self._batches[partition_id] = base_offset, batch
        while len(self._batches) > _BATCHES:
            del self._batches[next(iter(self._batches))]

    def at(
        self, partition_id: int, partition: TopicPartition, offset: int
    ) -> tuple[int, FetchedRecords] | None:
        """Stored size and records of the batch that holds an offset; None if it isn't kept."""
        found = self._batches.get(partition_id)
        if found is None:
            return None
        base_offset, kept = found
        if not base_offset <= offset <= base_offset + kept.last_delta:
            return None
        return len(kept.data), decode_given(kept, partition, base_offset)
