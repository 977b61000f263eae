"""Applying a view's function to a batch, event by event or as a frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vagus.hub.garbage import uncollected
from vagus.runtime.frame import KEY, SEQ, TOMBSTONE
from vagus.services.views.declare import Deleted

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from vagus.events.encrypting import Encrypting
    from vagus.runtime.batch import Retry
    from vagus.services.views.declare import Source, ViewType
    from vagus.services.views.framerows import FrameRows
    from vagus.services.views.rows import Rows

__all__ = ["Applied", "Apply"]


_CHUNK = 4_096


@dataclass(frozen=True, slots=True)
class Failed:
    """An event that the function failed on: its number in the batch, why, how often tried."""

    seq: int
    error: Exception
    tries: int


@dataclass(slots=True)
class Applied:
    """How far a batch was applied: up to `stop`, without what failed."""

    stop: int
    failed: list[Failed] = field(default_factory=list)


class Apply:
    """Applies the function of one view. With `halts`, nothing behind a failure is applied."""

    def __init__(
        self,
        view: ViewType,
        rows: Rows[Any] | FrameRows,
        keys: Encrypting,
        retry: Retry,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._view, self._rows = view, rows
        self._retry, self._sleep = retry, sleep
        self._halts = view.on_error == "stop"
        self._readers = {source.topic.name: source for source in view.sources}
        self._keys = keys

    def batch(self, frames: Mapping[str, pl.DataFrame], start: int, stop: int) -> Applied:
        """Apply the records numbered `start` up to `stop`."""
        if self._view.columns:
            (frame,) = _between(frames, start, stop).values()
            return self._frame(frame, stop)
        applied = Applied(stop)
        # Few at a time: objects that live shortly cost little.
        for begin in range(start, stop, _CHUNK):
            end = min(begin + _CHUNK, stop)
            with uncollected(end - begin):
                parts = _between(frames, begin, end)
                events = _events(parts, self._readers, self._keys, range(begin, end))
                done = self._events(events, begin, end)
                del events
            applied.failed += done.failed
            if done.stop < end:
                applied.stop = done.stop
                break
        return applied

    def _events(self, events: list[Any], start: int, stop: int) -> Applied:
        rows: Any = self._rows
        journal: list[Any] = rows.begin()
        function = self._view.function
        if any(event.__class__ is _Unfit for event in events):
            function = partial(_refusing, function)
        applied = Applied(stop)
        numbered: Iterator[tuple[int, Any]] = iter(enumerate(events, start))
        at, event = start, None
        while True:
            try:
                for place in numbered:
                    at, event = place
                    journal.clear()
                    function(event, rows)
                journal.clear()
                return applied
            except Exception as error:  # noqa: BLE001 - whatever a user's function raises
                failed = self._again(partial(function, event, rows), error, at)
            if failed is not None:
                applied.failed.append(failed)
                if self._halts:
                    applied.stop = at
                    return applied

    def _frame(self, frame: pl.DataFrame, stop: int) -> Applied:
        applied = Applied(stop)
        self._halved(frame.sort(SEQ) if not frame[SEQ].is_sorted() else frame, applied)
        return applied

    def _halved(self, frame: pl.DataFrame, applied: Applied) -> bool:
        """Apply a frame; where that fails, its halves, until the failing event stands alone."""
        if not frame.height:
            return True
        rows: Any = self._rows
        rows.begin()

        def call() -> None:
            (source,) = self._readers.values()
            opened = self._keys.open(frame.drop(SEQ), source.topic.marks)
            self._view.function(opened, rows)

        try:
            call()
            return True
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            if frame.height == 1:
                failed = self._again(call, error, int(frame[SEQ][0]))
                if failed is None:
                    return True
                applied.failed.append(failed)
                if self._halts:
                    applied.stop = failed.seq
                return not self._halts
            rows.take_back()
        middle = frame.height // 2
        return self._halved(frame[:middle], applied) and self._halved(frame[middle:], applied)

    def _again(self, call: Callable[[], Any], error: Exception, seq: int) -> Failed | None:
        """Take back what a failed call did, and retry; the failure if that doesn't help."""
        rows: Any = self._rows
        rows.take_back()
        tries, last = 1, error
        if not isinstance(error, _NotAnEvent):
            for wait_s in self._retry.waits_s():
                self._sleep(wait_s)
                tries += 1
                rows.begin()
                try:
                    call()
                    return None
                except Exception as problem:  # noqa: BLE001 - as above
                    last = problem
                    rows.take_back()
        if isinstance(last, _NotAnEvent):
            last = last.reason
        return Failed(seq, last, tries)


class _NotAnEvent(Exception):
    """A record that can be read, but makes no valid event."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Unfit:
    reason: Exception


def _between(frames: Mapping[str, pl.DataFrame], start: int, stop: int) -> dict[str, pl.DataFrame]:
    """The records numbered `start` up to `stop`, of the topics that have some."""
    found = {}
    for topic, frame in frames.items():
        first, behind = (int(frame[SEQ].search_sorted(seq)) for seq in (start, stop))
        if behind > first:
            found[topic] = frame[first:behind]
    return found


def _refusing(function: Callable[[Any, Any], None], event: Any, rows: Any) -> None:
    if event.__class__ is _Unfit:
        raise _NotAnEvent(event.reason)
    function(event, rows)


def _events(
    frames: Mapping[str, pl.DataFrame],
    sources: Mapping[str, Source],
    keys: Encrypting,
    numbers: range,
) -> list[Any]:
    """The events of a batch, in order."""
    count, start = len(numbers), numbers.start
    if len(frames) == 1:
        ((topic, frame),) = frames.items()
        if frame.height == count and not frame[TOMBSTONE].any():
            return _made(sources[topic], frame, keys)
    events: list[Any] = [None] * count
    for topic, frame in frames.items():
        source = sources[topic]
        gone = frame[TOMBSTONE]
        if gone.any():
            for seq, key in frame.filter(gone).select(SEQ, KEY).iter_rows():
                events[seq - start] = Deleted(topic, key)
            frame = frame.filter(~gone)
        places = (frame[SEQ].to_numpy().astype(np.int64) - start).tolist()
        for place, event in zip(places, _made(source, frame, keys), strict=True):
            events[place] = event
    return events


def _made(source: Source, frame: pl.DataFrame, keys: Encrypting) -> list[Any]:
    """The events of a frame; where some can't be made, what tells why in their places."""
    if not frame.height:
        return []
    try:
        made: list[Any] = source.reader.from_frame(keys.open(frame, source.topic.marks))
        return made
    except Exception as error:  # noqa: BLE001 - an event class may have checks of its own
        if frame.height == 1:
            return [_Unfit(error)]
    middle = frame.height // 2
    return _made(source, frame[:middle], keys) + _made(source, frame[middle:], keys)
