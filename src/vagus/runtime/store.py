"""Keyed state in columns.

A store maps a key (and, for windows, the window's start) to a row of typed columns. Rows lie in
immutable segments of Polars frames, newest last; a Python dict finds a key's slot, and an array
finds the slot's newest row. Writing appends a segment, so that its cost grows with what is
written; segments of like size are merged as in a log-structured tree, and superseded rows go away
with that.

Changes are staged while a batch is processed, so that all of its steps see the state as it was
before the batch, and take effect together at its end.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE, milliseconds
from vagus.runtime.topic import WINDOW_START

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from vagus.runtime.topic import Topic

FOUND = "_found"

_MERGE = 4  # segments of like size that are merged into one
_ROW_BITS = 32
_SAMPLE = 64  # keys looked for to tell whether a batch is of new ones
_FEW = 1_024  # keys that are quickly seen to differ
_SLACK = 4_096  # dead slots or rows that are never worth a clean-up


@dataclass(frozen=True, slots=True)
class _Segment:
    number: int
    frame: pl.DataFrame
    slots: NDArray[np.int64]


class Store:
    """Rows of state by key.

    `columns` are the row's own; each row also has its key, its time, and, in a windowed store,
    the start of its window.
    """

    def __init__(
        self, name: str, columns: Mapping[str, pl.DataType], key: pl.DataType, *, windowed: bool
    ) -> None:
        self.name = name
        self.windowed = windowed
        place: dict[str, pl.DataType] = {KEY: key}
        if windowed:
            place[WINDOW_START] = TIME_TYPE
        self.place = list(place)
        self.columns = dict(columns)
        self.schema = pl.Schema({**place, TIME: TIME_TYPE, **columns})
        self.newest_ms = -1  # the largest time of any row ever written or deleted
        self.retention_ms: int | None = None  # rows this far behind the newest time are dropped
        self._dropped_ms = 0
        self._buckets: dict[int, dict[Any, int]] = {}
        self._starts: list[int] = []  # of the buckets, sorted
        self._rows: NDArray[np.int64] = np.full(1024, -1, dtype=np.int64)
        self._slots = 0
        self._live = 0
        self._segments: list[_Segment] = []
        self._segment_numbers = 0
        self._staged: list[pl.DataFrame] = []
        self._changes: list[pl.DataFrame] = []

    @classmethod
    def for_topic(cls, topic: Topic) -> Store:
        """A store for the rows of a topic that is read as a table."""
        columns = topic.columns
        if topic.windowed:
            columns.pop(WINDOW_START, None)
        return cls(topic.name, columns, topic.key_type, windowed=topic.windowed)

    def __len__(self) -> int:
        return self._live

    def lookup(self, places: pl.DataFrame) -> pl.DataFrame:
        """The rows of these keys (and windows), in their order, with `_found`; null where none."""
        slots = self._find(places)
        rows = np.where(slots >= 0, self._rows[slots], -1)
        return self._gather(rows)

    def stage(self, rows: pl.DataFrame) -> None:
        """Write rows, or delete them where `_tombstone`, at the end of the batch.

        The last row of a key wins.
        """
        if rows.height:
            self._staged.append(rows[[*self.schema, TOMBSTONE]])

    def flush(self) -> None:
        """Let what was staged take effect."""
        if not self._staged:
            return
        changes = _latest(self._staged, self.place)
        self._staged = []
        self._changes.append(changes)
        self.load(changes)

    def take_changes(self) -> pl.DataFrame | None:
        """What changed since this was last asked: the newest row of each key, or a deletion."""
        if not self._changes:
            return None
        flushed, self._changes = self._changes, []
        return flushed[0] if len(flushed) == 1 else _latest(flushed, self.place)

    def load(self, changes: pl.DataFrame) -> None:
        """Apply changes without noting them.

        The last row of a key wins; where there are deletions, each key comes at most once.
        """
        if not changes.height:
            return
        self.newest_ms = max(self.newest_ms, int(milliseconds(changes[TIME]).max()))
        gone = changes[TOMBSTONE]
        if self.retention_ms is not None:
            old = changes[TIME].to_physical() < self.newest_ms - self.retention_ms
            if old.any():
                changes = _latest([changes.with_columns(gone | old)], self.place)
                gone = changes[TOMBSTONE]
        if gone.any():
            self._delete(changes.filter(gone))
            changes = changes.filter(~gone)
        if changes.height:
            self._write(changes[self.schema.names()])
        if self.retention_ms is not None:
            self._drop_old(self.retention_ms)
        self._tidy()

    def rows(self) -> pl.DataFrame:
        """All rows, in no particular order."""
        self._merge(0)
        return self._segments[0].frame if self._segments else pl.DataFrame(schema=self.schema)

    def snapshot(self) -> list[tuple[pl.DataFrame, NDArray[np.bool_]]]:
        """All rows as frames that stay as they are, each with which of its rows still count.

        Cheaper than `rows`: what is not asked for can be filtered out before anything is copied.
        """
        found = []
        for segment in self._segments:
            here = (segment.number << _ROW_BITS) | np.arange(len(segment.slots))
            found.append((segment.frame, self._rows[segment.slots] == here))
        return found

    def rows_of(
        self, key: Any, *, window_from: int | None = None, window_to: int | None = None
    ) -> list[tuple[Any, ...]]:
        """The row of a key, or those of its windows, oldest first, in the order of `schema`.

        The bounds are for starts of windows, in ms since 1970, the second one being left out.
        """
        first = 0 if window_from is None else bisect_left(self._starts, window_from)
        last = None if window_to is None else bisect_left(self._starts, window_to)
        buckets = (self._buckets[start] for start in self._starts[first:last])
        slots = np.array([keys[key] for keys in buckets if key in keys], dtype=np.int64)
        rows = self._rows[slots]
        rows = rows[rows >= 0]
        if len(rows) != 1:
            return self._gather(rows).drop(FOUND).rows() if len(rows) else []
        number, low = int(rows[0]) >> _ROW_BITS, int(rows[0]) & ((1 << _ROW_BITS) - 1)
        frame = next(s.frame for s in reversed(self._segments) if s.number == number)
        return [frame.row(low)]

    def until(self, start: int) -> pl.DataFrame:
        """The rows of all windows that start at or before `start` (ms since 1970)."""
        old = self._starts[: bisect_right(self._starts, start)]
        slots = [slot for at in old for slot in self._buckets[at].values()]
        rows = self._rows[np.asarray(slots, dtype=np.int64)]
        return self._gather(rows[rows >= 0]).drop(FOUND)

    def _bucketed(self, places: pl.DataFrame) -> Iterable[tuple[int, slice, list[Any]]]:
        """Runs of places in the same window: its start, where they stand, and their keys."""
        keys = places[KEY].to_list()
        if not self.windowed:
            yield 0, slice(0, len(keys)), keys
            return
        starts = places[WINDOW_START].to_physical().to_numpy()
        bounds = [0, *(np.flatnonzero(np.diff(starts)) + 1).tolist(), len(starts)]
        for begin, end in itertools.pairwise(bounds):
            if begin < end:
                yield int(starts[begin]), slice(begin, end), keys[begin:end]

    def _find(self, places: pl.DataFrame) -> NDArray[np.int64]:
        slots = np.full(places.height, -1, dtype=np.int64)
        for bucket, where, keys in self._bucketed(places):
            known = self._buckets.get(bucket)
            if known:
                slots[where] = _slots_of(known, keys)
        return slots

    def _assign(self, places: pl.DataFrame) -> NDArray[np.int64]:
        slots = np.empty(places.height, dtype=np.int64)
        for bucket, where, keys in self._bucketed(places):
            known = self._bucket(bucket)
            sample = keys[:: max(1, len(keys) // _SAMPLE)]
            if known.keys().isdisjoint(sample):  # as in a restore: hardly worth a look
                found = np.full(len(keys), -1, dtype=np.int64)
            else:
                found = _slots_of(known, keys)
            new = np.flatnonzero(found < 0)
            if len(new):
                fresh = keys if len(new) == len(keys) else [keys[row] for row in new]
                numbers = range(self._slots, self._slots + len(fresh))
                # A key that is there gets its own number; the one it was offered stays unused.
                given = map(known.setdefault, fresh, numbers)
                found[new] = np.fromiter(given, np.int64, len(fresh))
                self._slots += len(fresh)
            slots[where] = found
        if self._slots > len(self._rows):
            grown = np.full(max(self._slots, 2 * len(self._rows)), -1, dtype=np.int64)
            grown[: len(self._rows)] = self._rows
            self._rows = grown
        return slots

    def _bucket(self, start: int) -> dict[Any, int]:
        known = self._buckets.get(start)
        if known is None:
            known = self._buckets[start] = {}
            insort(self._starts, start)
        return known

    def _gather(self, rows: NDArray[np.int64]) -> pl.DataFrame:
        found = rows >= 0
        numbers = rows >> _ROW_BITS
        low = (1 << _ROW_BITS) - 1
        pieces: list[pl.DataFrame] = []
        order = np.full(len(rows), -1, dtype=np.int64)
        done = 0
        for segment in self._segments:
            here = np.flatnonzero(numbers == segment.number)
            if len(here):
                pieces.append(segment.frame[rows[here] & low])
                order[here] = np.arange(done, done + len(here))
                done += len(here)
        if not pieces:
            frame = pl.DataFrame(schema=self.schema).clear(len(rows))
        else:
            frame = pl.concat(pieces) if len(pieces) > 1 else pieces[0]
            in_place = done == len(rows) and (len(pieces) == 1 or bool((np.diff(order) > 0).all()))
            if not in_place:
                at = pl.Series(order).set(pl.Series(order < 0), None)
                frame = frame.select(pl.all().gather(at))
        return frame.with_columns(pl.Series(FOUND, found))

    def _write(self, rows: pl.DataFrame) -> None:
        slots = self._assign(rows)
        number = self._segment_numbers
        self._segment_numbers += 1
        new = self._rows[slots] < 0
        places = (number << _ROW_BITS) | np.arange(rows.height)
        self._rows[slots] = places  # of a slot that stands here twice, the last place
        self._live += int((new & (self._rows[slots] == places)).sum())
        self._segments.append(_Segment(number, rows, slots))

    def _delete(self, places: pl.DataFrame) -> None:
        slots = self._find(places)
        slots = slots[slots >= 0]
        self._live -= int((self._rows[slots] >= 0).sum())
        self._rows[slots] = -1
        if self.windowed:
            for bucket, _where, keys in self._bucketed(places):
                known = self._buckets.get(bucket, {})
                for key in keys:
                    known.pop(key, None)
                if not known and self._buckets.pop(bucket, None) is not None:
                    del self._starts[bisect_left(self._starts, bucket)]

    def _drop_old(self, retention_ms: int) -> None:
        horizon = self.newest_ms - retention_ms
        # Looking through all rows is worth it once time has moved on by a good part.
        if horizon - self._dropped_ms < retention_ms // 16:
            return
        self._dropped_ms = horizon
        bound = pl.lit(horizon).cast(TIME_TYPE)
        old = []
        for frame, live in self.snapshot():
            if frame[TIME].to_physical().min() < horizon:  # type: ignore[operator]
                old.append(frame.filter((pl.col(TIME) < bound) & pl.Series(live)))
        if old:
            places = pl.concat(old).select(self.place)
            self._delete(places.sort(WINDOW_START) if self.windowed else places)

    def _tidy(self) -> None:
        while (
            len(self._segments) >= _MERGE
            and self._segments[-_MERGE].frame.height <= _MERGE * self._segments[-1].frame.height
        ):
            self._merge(len(self._segments) - _MERGE)
        if sum(len(segment.slots) for segment in self._segments) > 2 * self._live + _SLACK:
            self._merge(0)
        if self._slots > 2 * self._live + _SLACK:
            self._renumber()

    def _merge(self, first: int) -> None:
        """Make one segment of the segments from `first` on, without what is superseded."""
        merged = self._segments[first:]
        if not merged:
            return
        frames, slots = [], []
        for segment in merged:
            here = (segment.number << _ROW_BITS) | np.arange(len(segment.slots))
            live = self._rows[segment.slots] == here
            frames.append(segment.frame if live.all() else segment.frame.filter(live))
            slots.append(segment.slots[live])
        if len(merged) == 1 and len(slots[0]) == len(merged[0].slots):
            return
        del self._segments[first:]
        kept = np.concatenate(slots)
        if not len(kept):
            return
        number = self._segment_numbers
        self._segment_numbers += 1
        self._rows[kept] = (number << _ROW_BITS) | np.arange(len(kept))
        self._segments.append(_Segment(number, pl.concat(frames, rechunk=True), kept))

    def _renumber(self) -> None:
        """Take the slots of deleted keys back."""
        self._merge(0)
        rows = self._segments[0].frame if self._segments else pl.DataFrame(schema=self.schema)
        self._buckets, self._starts, self._segments = {}, [], []
        self._rows = np.full(max(1024, rows.height), -1, dtype=np.int64)
        self._slots = self._live = 0
        if rows.height:
            self._write(rows)


def _slots_of(known: dict[Any, int], keys: list[Any]) -> NDArray[np.int64]:
    return np.fromiter(map(known.get, keys, repeat(-1)), np.int64, len(keys))


def _latest(changes: list[pl.DataFrame], place: list[str]) -> pl.DataFrame:
    frame = pl.concat(changes) if len(changes) > 1 else changes[0]
    few = place == [KEY] and frame.height <= _FEW
    if few and len(set(frame[KEY].to_list())) == frame.height:
        return frame
    return frame.unique(place, keep="last", maintain_order=True)
