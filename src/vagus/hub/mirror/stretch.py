"""Where events stood in one hub, and where their copies stand in another."""

from __future__ import annotations

import base64
import zlib
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vagus.hub.records import FetchedRecords, Records

__all__ = ["Stretch", "last_mark", "to_source", "to_target"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events of a partition that were copied in one step.

    `first` is where reading began, `next_offset` where to read on. The copies stand from
    `target_first` up to, but without, `target_end`. `last` is the offset of the last event, and
    `mark` a checksum of it; -1 and 0 where there was none. `places` are all offsets, packed.
    """

    first: int
    next_offset: int
    target_first: int
    target_end: int
    last: int
    mark: int
    places: tuple[str, str]

    @classmethod
    def of(
        cls, read: FetchedRecords, first: int, next_offset: int, target: NDArray[np.int64]
    ) -> Stretch:
        """The stretch of events that were read, whose copies lie at the target's offsets."""
        return cls(
            first,
            next_offset,
            int(target[0]),
            int(target[-1]) + 1,
            int(read.offsets[-1]),
            last_mark(read),
            (_pack(read.offsets), _pack(target)),
        )

    @classmethod
    def empty(cls, first: int, next_offset: int, target: int) -> Stretch:
        """Nothing was there between these offsets; the next copy will be at `target`, or later."""
        return cls(first, next_offset, target, target, -1, 0, ("", ""))

    @classmethod
    def parse(cls, first: int, said: dict[str, Any]) -> Stretch:
        """What `said` tells of."""
        begin, end = said["target"]
        places = said["from"], said["to"]
        return cls(first, said["next"], begin, end, said["last"], said["mark"], places)

    @property
    def said(self) -> dict[str, Any]:
        """The stretch as JSON, without `first`."""
        return {
            "next": self.next_offset,
            "target": [self.target_first, self.target_end],
            "last": self.last,
            "mark": self.mark,
            "from": self.places[0],
            "to": self.places[1],
        }

    @property
    def source_offsets(self) -> NDArray[np.int64]:
        """Where the events stood."""
        return _unpack(self.places[0])

    @property
    def target_offsets(self) -> NDArray[np.int64]:
        """Where the copies stand, in the same order."""
        return _unpack(self.places[1])


def to_target(stretches: Sequence[Stretch], position: int) -> int:
    """The position before which are the copies of exactly the events that are before `position`.

    The stretches are those of one partition, in their order.
    """
    at = bisect_right(stretches, position, key=lambda each: each.first) - 1
    if at < 0:
        return stretches[0].target_first if stretches else 0
    row = int(np.searchsorted(stretches[at].source_offsets, position))
    copies = stretches[at].target_offsets
    return int(copies[row]) if row < len(copies) else stretches[at].target_end


def to_source(stretches: Sequence[Stretch], position: int) -> int:
    """The way back."""
    at = bisect_right(stretches, position, key=lambda each: each.target_first) - 1
    if at < 0:
        return stretches[0].first if stretches else 0
    row = int(np.searchsorted(stretches[at].target_offsets, position))
    events = stretches[at].source_offsets
    return int(events[row]) if row < len(events) else stretches[at].next_offset


def last_mark(records: Records) -> int:
    """A checksum of the last event."""
    end = len(records)
    mark = int(records.timestamps[-1]) & 0xFFFFFFFF
    for column in (records.keys, records.values):
        [content] = column.slice(end - 1, end).to_list()
        mark = zlib.crc32(b"-" if content is None else b"+" + content, mark)
    return mark


def _pack(offsets: NDArray[np.int64]) -> str:
    steps = np.diff(offsets, prepend=0).astype("<i8")
    return base64.b64encode(zlib.compress(steps.tobytes(), 1)).decode()


def _unpack(text: str) -> NDArray[np.int64]:
    if not text:
        return np.empty(0, dtype=np.int64)
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<i8")
    return np.cumsum(steps, dtype=np.int64)
