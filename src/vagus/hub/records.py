"""Records in columns: what goes into a hub and what comes out of it.

A hub holds bytes. Everything here is a list of records turned on its side: one column of keys,
one of values, one of timestamps. Nothing in the engine walks them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vagus.events.column import BytesColumn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["BytesColumn", "FetchedRecords", "Records", "TopicPartition"]


class TopicPartition(NamedTuple):
    """One partition of a topic.

    >>> TopicPartition("bus-position", 0)
    TopicPartition(topic='bus-position', partition=0)
    """

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Records:
    """Records to be appended to one partition.

    `keys` and `values` may hold nulls (a null value is a tombstone); `timestamps` are
    milliseconds since 1970 (UTC); `headers`, where there are any, has an entry for each record,
    each a tuple of (name, bytes) pairs; a name is not empty and holds no NUL.

    >>> Records.of([b"17"], [b"hello"], timestamps=[1_700_000_000_000])
    Records(1)
    """

    keys: BytesColumn
    values: BytesColumn
    timestamps: NDArray[np.int64]
    headers: list[tuple[tuple[str, bytes], ...]] | None = None

    def __post_init__(self) -> None:
        counts = {len(self.keys), len(self.values), len(self.timestamps)}
        if self.headers is not None:
            counts.add(len(self.headers))
        if len(counts) != 1:
            raise ValueError(f"expected columns of one length, got {sorted(counts)}")

    @classmethod
    def of(
        cls,
        keys: Sequence[bytes | None],
        values: Sequence[bytes | None],
        timestamps: Sequence[int],
        headers: list[tuple[tuple[str, bytes], ...]] | None = None,
    ) -> Records:
        """Records from plain sequences."""
        stamps = np.asarray(timestamps, dtype=np.int64)
        return cls(BytesColumn(keys), BytesColumn(values), stamps, headers)

    @classmethod
    def concat(cls, parts: Sequence[Records]) -> Records:
        """The parts one after another."""
        if len(parts) == 1:
            return parts[0]
        headers: list[tuple[tuple[str, bytes], ...]] | None = None
        if any(part.headers is not None for part in parts):
            headers = []
            for part in parts:
                headers += part.headers if part.headers is not None else [()] * len(part)
        return Records(
            BytesColumn.concat([part.keys for part in parts]),
            BytesColumn.concat([part.values for part in parts]),
            np.concatenate([part.timestamps for part in parts]),
            headers,
        )

    def __len__(self) -> int:
        return len(self.timestamps)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return self.keys.nbytes + self.values.nbytes


@dataclass(frozen=True, slots=True, repr=False)
class FetchedRecords(Records):
    """Records read from one partition, with their offsets.

    Offsets grow, and may have gaps (compaction, Kafka's transaction markers). `next_offset` is
    where to read on: it may lie beyond the last record's offset + 1.
    """

    partition: TopicPartition = field(kw_only=True)
    offsets: NDArray[np.int64] = field(kw_only=True)
    next_offset: int = field(kw_only=True)

    @classmethod
    def joined(cls, parts: Sequence[FetchedRecords]) -> FetchedRecords:
        """Records of one partition that follow each other."""
        if len(parts) == 1:
            return parts[0]
        whole = Records.concat(parts)
        return FetchedRecords(
            whole.keys,
            whole.values,
            whole.timestamps,
            whole.headers,
            partition=parts[0].partition,
            offsets=np.concatenate([part.offsets for part in parts]),
            next_offset=parts[-1].next_offset,
        )

    def slice(self, start: int, stop: int) -> FetchedRecords:
        """Rows `start` up to, but without, `stop`; reading on is still after the last of all."""
        return FetchedRecords(
            self.keys.slice(start, stop),
            self.values.slice(start, stop),
            self.timestamps[start:stop],
            None if self.headers is None else self.headers[start:stop],
            partition=self.partition,
            offsets=self.offsets[start:stop],
            next_offset=self.next_offset,
        )
