"""Records in columns: what goes into a hub and what comes out of it.

A hub holds bytes. Everything here is a list of records turned on its side: one column of keys,
one of values, one of timestamps. Nothing in the engine walks them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray



class TopicPartition(NamedTuple):
    """One partition of a topic.

    >>> TopicPartition("bus-position", 0)
    TopicPartition(topic='bus-position', partition=0)
    """

    topic: str
    partition: int


class BytesColumn:
    """An immutable column of nullable byte strings, held as a list or as an Arrow array.

    A hub on disk reads Arrow arrays, a Kafka client yields lists, the codecs want now one and
    now the other. The column starts in the form it was given and makes the other one once, when
    it is first asked for.

    >>> column = BytesColumn([b"a", None])
    >>> len(column), column.null_count, column.to_arrow().to_pylist()
    (2, 1, [b'a', None])
    """

    __slots__ = ("_array", "_list")

    def __init__(self, values: Sequence[bytes | None] | pa.BinaryArray) -> None:
        self._list: list[bytes | None] | None = None
        self._array: pa.BinaryArray | None = None
        if isinstance(values, pa.Array):
            self._array = values if pa.types.is_binary(values.type) else values.cast(pa.binary())
        else:
            self._list = values if isinstance(values, list) else list(values)

    @classmethod
    def nulls(cls, count: int) -> BytesColumn:
        """A column of `count` nulls."""
        return cls(pa.nulls(count, pa.binary()))

    @classmethod
    def concat(cls, columns: Sequence[BytesColumn]) -> BytesColumn:
        """The columns one after another."""
        if len(columns) == 1:
            return columns[0]
        return cls(pa.concat_arrays([column.to_arrow() for column in columns]))

    def __len__(self) -> int:
        return len(self._list) if self._list is not None else len(self.to_arrow())

    def __repr__(self) -> str:
        return f"BytesColumn({len(self)} values, {self.null_count} null)"

    @property
    def null_count(self) -> int:
        """How many of the values are null."""
        if self._array is not None:
            return int(self._array.null_count)
        assert self._list is not None
        return self._list.count(None)

    @property
    def nbytes(self) -> int:
        """How many bytes the values hold, without their lengths."""
        array = self.to_arrow()
        if not len(array):
            return 0
        ends = np.frombuffer(array.buffers()[1], dtype=np.int32)
        return int(ends[array.offset + len(array)] - ends[array.offset])

    def to_arrow(self) -> pa.BinaryArray:
        """The column as an Arrow binary array."""
        if self._array is None:
            self._array = pa.array(self._list, pa.binary())
        return self._array

    def to_list(self) -> list[bytes | None]:
        """The column as a list; do not change it."""
        if self._list is None:
            assert self._array is not None
            # Polars makes Python objects of an Arrow array in half the time Arrow does itself.
            self._list = pl.Series(self._array).to_list()
        return self._list

    def take(self, rows: NDArray[np.integer[Any]]) -> BytesColumn:
        """The values at `rows`, in that order."""
        return BytesColumn(self.to_arrow().take(pa.array(rows)))

    def slice(self, start: int, stop: int) -> BytesColumn:
        """The values from `start` up to, but without, `stop`."""
        return BytesColumn(self.to_arrow().slice(start, stop - start))


@dataclass(frozen=True, slots=True)
class Records:
    """Records to be appended to one partition.

    `keys` and `values` may hold nulls (a null value is a tombstone); `timestamps` are
    milliseconds since 1970 (UTC); `headers`, where there are any, has an entry for each record,
    each a tuple of (name, bytes) pairs.

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
