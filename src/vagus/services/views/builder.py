"""The builder: brings one generation of a view up to date.

A batch's rows and the positions behind it are one SQLite transaction. It succeeds only if the
positions are those that the batch was read from, so that of several builders one gets on, and what
any of them wrote is as if each event had been taken once.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagus.errors import OffsetOutOfRange, TopicExists, VagusError
from vagus.hub import TopicPartition
from vagus.hub.personkeys import PersonKeys
from vagus.runtime.batch import Failure, Origin, Retry
from vagus.runtime.deadletters import DEAD_LETTER_CONFIG, dead_letter_topic, to_records
from vagus.runtime.intake import by_time
from vagus.services.views.apply import Applied, Apply
from vagus.services.views.errors import ViewStopped
from vagus.services.views.feed import Feed, Unreadable
from vagus.services.views.framerows import FrameRows
from vagus.services.views.rows import Rows, TooManyUnsaved
from vagus.services.views.table import Generation, Table, positions

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.intake import Rank, TaskInput
    from vagus.services.views.declare import ViewType
    from vagus.services.views.file import ViewFile

__all__ = ["Builder", "Outdated", "Surroundings"]

log = logging.getLogger("vagus")

_PART = 512  # events to a commit, where rows are looked up by their fields
_PATIENCE_S = 0.2  # for events that are late, before looking around
_BULK_PART = 65_536


class Outdated(Exception):
    """Somebody else has moved the generation on, or removed it."""


@dataclass(frozen=True)
class Surroundings:
    """What builders work with: the hub, its schemas, and how failing functions are retried."""

    hub: Hub
    registry: Registry
    retry: Retry
    rank: Rank = by_time
    sleep: Callable[[float], None] = time.sleep


class Builder:
    """Builds one generation. Used by one thread at a time, but for `wakeup`."""

    def __init__(
        self, view: ViewType, file: ViewFile, generation: Generation, around: Surroundings
    ) -> None:
        self.view, self.generation = view, generation
        self._file, self._hub, self._around = file, around.hub, around
        self._table = Table(view, generation.id)
        with file.reading() as db:
            self._positions = positions(db, generation.id)
            empty = self._table.empty(db)
            known = [g for g in Generation.all(db, view.name, file.hub) if g.id == generation.id]
        if not known:
            raise Outdated
        self._seq = known[0].seq
        self.finished = known[0].live
        keys = PersonKeys.of(around.hub)
        self._rows: Rows[Any] | FrameRows
        if view.columns:
            self._rows = FrameRows(view, self._table, file.reading, keys)
        else:
            self._rows = Rows(view, self._table, file.reading, keys, empty=empty)
        self._apply = Apply(view, self._rows, keys, around.retry, around.sleep)
        self._part = _BULK_PART if not view.columns else 1 << 62
        self._feed = Feed(view, around.hub, around.registry, self._positions, around.rank)

    @property
    def positions(self) -> dict[TopicPartition, int]:
        """The offsets that are read next."""
        return dict(self._positions)

    def extent(self) -> tuple[int, int]:
        """How many offsets are behind, and how many there are, now."""
        ends = self._hub.offsets(self._positions, "latest")
        first = self._hub.offsets(self._positions, "earliest")
        total = sum(max(0, end - first[tp]) for tp, end in ends.items())
        done = sum(max(0, min(self._positions[tp], ends[tp]) - first[tp]) for tp in ends)
        return done, total

    def take(self, *, wait_s: float = 0.0, bulk: bool = False) -> TaskInput | None:
        """The next events, to be given to `process`. Raises ViewStopped where none can follow."""
        try:
            return self._feed.take(wait_s=wait_s, bulk=bulk)
        except Unreadable as stop:
            self._stop(stop.failure, stop.place)
            raise AssertionError from None
        except OffsetOutOfRange as error:
            raise VagusError(
                f"view {self.view.name!r} can't go on: {error.message}",
                where=error.where,
                hint="events that it hasn't seen are gone; `vagus view rebuild` makes it of those "
                "that are left",
            ) from error

    def rest(self, *, bulk: bool = False) -> Iterator[TaskInput | None]:
        """All that is known to be there, to be given to `process`; None at times while it is late.

        Raises as `take` does.
        """
        wait_s = 0.0
        while (given := self.take(wait_s=wait_s, bulk=bulk)) is not None or self._feed.behind():
            yield given
            wait_s = _PATIENCE_S if self._feed.behind() else 0.0

    def process(self, given: TaskInput | None) -> int:
        """Apply events and commit; how many they were.

        Raises ViewStopped at an event that can't be processed, after all before it; Outdated if
        somebody else has moved the generation on, with nothing done.
        """
        if given is None:
            if passed := self._feed.passed():
                self._commit(passed, [])
            return 0
        letters = [(failure, failure.origin) for failure in given.failures if failure.origin]
        try:
            self._process(given, letters)
        except BaseException:
            self._rows.take_back_all()
            raise
        return given.count

    def _process(self, given: TaskInput, letters: list[tuple[Failure, Origin]]) -> None:
        start = 0
        while start < given.count:
            stop = min(start + self._part, given.count)
            try:
                applied = self._apply.batch(given.frames, start, stop)
            except TooManyUnsaved:
                self._rows.take_back_all()
                self._part = max(1, min(_PART, self._part // 2))
                continue
            halted = applied.stop < stop
            last = stop == given.count and not halted
            if applied.failed and not halted:
                letters += self._letters(given, applied)
            behind = dict(given.positions)
            if not last:
                behind |= given.origins.heads(applied.stop)
            if last:
                self._replay(given, letters)
            self._commit(behind, letters)
            letters = []
            if halted:
                failed = applied.failed[-1]
                self._stop(self._failure(failed), given.origins[failed.seq])
            start = stop
        if not given.count:
            self._replay(given, letters)
            self._commit(given.positions | self._feed.passed(), letters)

    def _replay(self, given: TaskInput, letters: list[tuple[Failure, Origin]]) -> None:
        """Apply dead letters of this view that were sent again."""
        for replay in given.replays:
            if replay.step != self.view.step:
                continue
            applied = self._apply.batch({replay.topic: replay.frame}, 0, 1)
            letters += [(self._failure(one), replay.origins[0]) for one in applied.failed]

    def _letters(self, given: TaskInput, applied: Applied) -> list[tuple[Failure, Origin]]:
        return [(self._failure(failed), given.origins[failed.seq]) for failed in applied.failed]

    def _failure(self, failed: Any) -> Failure:
        error = failed.error
        detail = "".join(traceback.format_exception(error))
        text = f"{type(error).__name__}: {error}"
        return Failure(self.view.step, text, detail, failed.tries, seq=failed.seq)

    def _commit(
        self, behind: Mapping[TopicPartition, int], letters: list[tuple[Failure, Origin]]
    ) -> None:
        if letters:
            # Before the positions move on: a crash in between gives a letter twice, never none.
            self._send(letters)
        moved = {tp: at for tp, at in behind.items() if at != self._positions[tp]}
        if not moved and not self._rows.changed:
            return
        number = self.generation.id
        with self._file.writing() as db:
            for partition, at in moved.items():
                done = db.execute(
                    "UPDATE position SET next_offset = ? WHERE generation = ? AND topic = ? "
                    "AND partition = ? AND next_offset = ?",
                    (at, number, *partition, self._positions[partition]),
                )
                if done.rowcount != 1:
                    raise Outdated
            if self._rows.changed:
                self._rows.write(db, self._seq + 1)
                if self.finished:
                    self._table.forget_old(db, number)
                done = db.execute(
                    "UPDATE generation SET seq = ? WHERE id = ? AND seq = ?",
                    (self._seq + 1, number, self._seq),
                )
                if done.rowcount != 1:
                    raise Outdated
        if self._rows.changed:
            self._seq += 1
            self._rows.written()
        self._positions.update(moved)

    def _send(self, letters: list[tuple[Failure, Origin]]) -> None:
        topic = dead_letter_topic(self.view.app)
        with suppress(TopicExists):
            self._hub.create_topic(topic, DEAD_LETTER_CONFIG)
        self._hub.append([(TopicPartition(topic, 0), to_records(letters))])
        for failure, _ in letters:
            log.warning("view %s: %s (now a dead letter)", self.view.name, failure.error)

    def _stop(self, failure: Failure, place: Origin) -> None:
        """Say where the view stops, for all who ask, and raise it."""
        error = {
            "error": failure.error,
            "topic": place.topic,
            "partition": place.partition,
            "offset": place.offset,
            "detail": failure.detail,
            "tries": failure.tries,
        }
        with self._file.writing() as db:
            db.execute(
                "UPDATE generation SET error = ? WHERE id = ?",
                (json.dumps(error), self.generation.id),
            )
        raise stopped(self.view.name, error, rebuild=not self.finished)

    def tell(self) -> tuple[int, int]:
        """Note in the file how far it is, and say it."""
        done, total = self.extent()
        with self._file.writing(quiet=True) as db:
            db.execute(
                "UPDATE generation SET done = ?, total = ? WHERE id = ?",
                (done, total, self.generation.id),
            )
        return done, total

    def finish(self) -> None:
        """Make what speeds up questions, before the generation answers."""
        with self._file.writing(quiet=True) as db:
            self._table.finish(db)

    def wakeup(self) -> None:
        """Make a waiting `take` return."""
        self._feed.wakeup()

    def close(self) -> None:
        """Stop reading."""
        self._feed.close()


def stopped(view: str, error: Mapping[str, Any], *, rebuild: bool) -> ViewStopped:
    """The error that says where a view stopped."""
    return ViewStopped(
        view,
        error["error"],
        topic=error["topic"],
        partition=error["partition"],
        offset=error["offset"],
        rebuild=rebuild,
    )
