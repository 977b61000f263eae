"""The intake of a task: what was read and not yet processed, in the order of processing.

A task takes the record with the lowest time first among the heads of its partitions, as Kafka
Streams does, and waits for a partition that is known to have more. Picking the lowest head again
and again gives the same order as sorting by each partition's running maximum of time, which is
how it is done here, a column at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from vagus.runtime.batch import Failure, Origins, origin
from vagus.runtime.deadletters import REPLAY_APP, REPLAY_STEP
from vagus.runtime.frame import SEQ, SYSTEM, TIME, milliseconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vagus.hub import FetchedRecords, TopicPartition
    from vagus.runtime.topic import DecodedRecords

_FIRST = frozenset(("_row", *SYSTEM))

Rank = Callable[["TopicPartition", "NDArray[np.int64]", "NDArray[np.int64]"], "NDArray[np.int64]"]
"""The rank of a partition's records, given their offsets and times; it must not fall."""


def by_time(
    _partition: TopicPartition, _offsets: NDArray[np.int64], times: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Lowest head first."""
    return np.maximum.accumulate(times) if len(times) else times


@dataclass(frozen=True, slots=True)
class Replay:
    """A dead letter that was sent again, for one step of this application."""

    step: str
    topic: str
    frame: pl.DataFrame
    origins: Origins


@dataclass(slots=True)
class _Piece:
    """Decoded records of one read, from row `start` on."""

    read: FetchedRecords
    frame: pl.DataFrame
    aside: dict[int, Failure | Replay]
    rank: NDArray[np.int64]
    taken: int = 0


@dataclass(frozen=True, slots=True)
class TaskInput:
    """A batch for a task: a frame for each topic, and the positions that follow it.

    `failures` could not be decoded; `replays` are to be processed by themselves.
    """

    frames: dict[str, pl.DataFrame]
    origins: Origins
    failures: list[Failure]
    replays: list[Replay]
    positions: dict[TopicPartition, int]
    count: int


class Intake:
    """Buffers the partitions of one task. `committed` is where the group is in them."""

    def __init__(
        self,
        app: str,
        partitions: Sequence[TopicPartition],
        rank: Rank = by_time,
        *,
        committed: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        self._app = app
        self._pieces: dict[TopicPartition, deque[_Piece]] = {tp: deque() for tp in partitions}
        self._high: dict[TopicPartition, int] = dict.fromkeys(partitions, -1)
        self._rank = rank
        self._reached = dict(committed or {})

    def add(self, read: FetchedRecords, decoded: DecodedRecords) -> None:
        """Buffer what was read from one of the partitions."""
        partition = read.partition
        aside: dict[int, Failure | Replay] = {
            bad.row: Failure(partition.topic, bad.error, bad.error, origin=origin(read, bad.row))
            for bad in decoded.failures
        }
        frame = decoded.frame
        if read.headers is not None:
            frame = self._sift(read, frame, aside)
        offsets = read.offsets[frame["_row"].to_numpy()]
        rank = self._rank(partition, offsets, milliseconds(frame[TIME]))
        if len(rank):
            rank = np.maximum(rank, self._high[partition])
            self._high[partition] = int(rank[-1])
        self._pieces[partition].append(_Piece(read, frame, aside, rank))

    def _sift(
        self, read: FetchedRecords, frame: pl.DataFrame, aside: dict[int, Failure | Replay]
    ) -> pl.DataFrame:
        """Take replayed records out: those for us are set aside, those for others left out."""
        assert read.headers is not None
        if REPLAY_APP not in dict(chain.from_iterable(read.headers)):
            return frame
        replayed = {
            row: dict(headers)
            for row, headers in enumerate(read.headers)
            if any(name == REPLAY_APP for name, _ in headers)
        }
        for row, headers in replayed.items():
            one = frame.filter(pl.col("_row") == row)
            if headers[REPLAY_APP].decode() == self._app and one.height:
                origins = Origins.of([read], np.zeros(1, np.int64), np.array([row]))
                one = one.drop("_row").with_columns(pl.lit(0, pl.UInt32).alias(SEQ))
                step = headers.get(REPLAY_STEP, b"").decode()
                aside[row] = Replay(step, read.partition.topic, one, origins)
        return frame.filter(~pl.col("_row").is_in(list(replayed)))

    def pending(self, partition: TopicPartition) -> int:
        """How many records of a partition are buffered."""
        return sum(piece.frame.height - piece.taken for piece in self._pieces[partition])

    def passed(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """Positions beyond those of `take`, where all that was read before them was taken.

        Between lies no record (but Kafka's mark of a commit): without them, the group would seem
        to lag for as long as nothing comes.
        """
        moved = {
            partition: positions[partition]
            for partition, pieces in self._pieces.items()
            if not pieces and partition in positions
        }
        found = {tp: at for tp, at in moved.items() if at > self._reached.setdefault(tp, at)}
        self._reached |= found
        return found

    def take(self, behind: Collection[TopicPartition]) -> TaskInput | None:
        """All that can be processed now, or None.

        `behind` are the partitions that have more in the hub than was read: nothing that comes
        after the last record that is known of them may be taken yet. Of equal rank, the record of
        the partition named first comes first.
        """
        lagging = [
            (self._high[partition], place)
            for place, partition in enumerate(self._pieces)
            if partition in behind and len(self._pieces) > 1
        ]
        limit = min(lagging, default=None)
        parts: list[tuple[_Piece, int, int]] = []
        aside: list[Failure | Replay] = []
        positions: dict[TopicPartition, int] = {}
        for place, (partition, queue) in enumerate(self._pieces.items()):
            while queue:
                piece = queue[0]
                start, stop = piece.taken, piece.frame.height
                if limit is not None:
                    high, last = limit
                    side: Literal["left", "right"] = "right" if place <= last else "left"
                    stop = int(np.searchsorted(piece.rank, high, side))
                whole = stop >= piece.frame.height
                if whole or stop > start:
                    parts.append((piece, start, stop))
                    end = piece.read.next_offset if whole else self._offset(piece, stop)
                    positions[partition] = end
                    passed = [r for r in piece.aside if whole or piece.read.offsets[r] < end]
                    aside += [piece.aside.pop(row) for row in passed]
                if not whole:
                    piece.taken = max(start, stop)
                    break
                queue.popleft()
        if not parts:
            return None
        self._reached |= positions
        return _merge(parts, aside, positions)

    @staticmethod
    def _offset(piece: _Piece, stop: int) -> int:
        return int(piece.read.offsets[piece.frame["_row"][stop]])


def _merge(
    parts: list[tuple[_Piece, int, int]],
    aside: list[Failure | Replay],
    positions: dict[TopicPartition, int],
) -> TaskInput:
    """Number the records of the parts in their common order."""
    reads = [piece.read for piece, _, _ in parts]
    slices = [piece.frame.slice(start, stop - start) for piece, start, stop in parts]
    rows = [frame["_row"].to_numpy().astype(np.int64) for frame in slices]
    count = sum(len(part) for part in rows)
    if len(parts) == 1:
        seqs = [np.arange(count, dtype=np.uint32)]
        read_of, row_of = np.zeros(count, dtype=np.int64), rows[0]
    else:
        ranks = np.concatenate([piece.rank[start:stop] for piece, start, stop in parts])
        order = np.argsort(ranks, kind="stable")
        place = np.empty(count, dtype=np.uint32)
        place[order] = np.arange(count, dtype=np.uint32)
        seqs = np.split(place, np.cumsum([len(part) for part in rows])[:-1])
        read_of = np.repeat(np.arange(len(parts)), [len(part) for part in rows])[order]
        row_of = np.concatenate(rows)[order]
    frames: dict[str, list[pl.DataFrame]] = {}
    for (piece, _, _), frame, seq in zip(parts, slices, seqs, strict=True):
        columns = [column for column in frame.get_columns() if column.name not in _FIRST]
        system = [frame.get_column(name) for name in SYSTEM[1:]]
        numbered = pl.DataFrame([pl.Series(SEQ, seq), *system, *columns])
        frames.setdefault(piece.read.partition.topic, []).append(numbered)
    merged = {
        topic: pieces[0] if len(pieces) == 1 else pl.concat(pieces).sort(SEQ)
        for topic, pieces in frames.items()
    }
    origins = Origins.of(reads, read_of, row_of)
    failures = [entry for entry in aside if isinstance(entry, Failure)]
    replays = [entry for entry in aside if isinstance(entry, Replay)]
    return TaskInput(merged, origins, failures, replays, positions, count)
