"""The step that reacts: events of a process in, commands and timers out."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vagus.errors import EncodeError, VagusError
from vagus.events import BytesColumn, Event
from vagus.hub import FetchedRecords, TopicPartition
from vagus.runtime.batch import Origins
from vagus.runtime.frame import KEY, SEQ, TIME, TIME_TYPE, TOMBSTONE
from vagus.services.body import from_body, to_body
from vagus.services.envelope import sent_by
from vagus.services.processes.effects import After, Cancel, Done
from vagus.services.processes.instance import Row, Timer
from vagus.services.refusal import Refused
from vagus.services.told import REFUSAL, Refusal, Told

if TYPE_CHECKING:
    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic
    from vagus.services.processes.process import ProcessType

__all__ = ["Reacting"]


@dataclass(slots=True)
class _Heard:
    """An event that came, or a timer's."""

    seq: int
    key: Any
    type: str
    body: str
    timer: str = ""


@dataclass(slots=True)
class _Round:
    """What comes of a batch."""

    rows: dict[Any, Row | None] = field(default_factory=dict)  # None: the process is over
    sent: dict[str, list[tuple[int, Event]]] = field(default_factory=dict)  # by topic


class Reacting:
    """Calls `react` for the events of one partition's processes, in order, and when timers fire."""

    def __init__(self, process: ProcessType, store: Store) -> None:
        self._of = process
        self._name = f"{process.name}.react"
        self._store = store
        self._empty = pl.DataFrame(
            schema={SEQ: pl.UInt32(), KEY: process.key_type, TIME: TIME_TYPE}
            | {TOMBSTONE: pl.Boolean(), "type": pl.String(), "body": pl.String()}
        )
        self._timers: dict[tuple[Any, str], int] = {}
        self._heap: list[tuple[int, Any, str]] = []
        for row in store.rows().iter_rows(named=True):
            self._set_timers(row[KEY], Row.of(row))

    @property
    def due_ms(self) -> int | None:
        """When the next timer fires."""
        while self._heap and self._timers.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        turn = _Round()
        for heard in self._fired(turn, batch) if batch.due else _heard(inputs[0]):
            self._hear(heard, turn, batch)
        self._keep(turn, batch)
        for name, sent in turn.sent.items():
            topic = next(topic for topic in self._of.sends if topic.name == name)
            batch.side[self._of.handing(topic)] = _framed(topic, sent, batch)
        return self._empty

    # Timers

    def _fired(self, turn: _Round, batch: Batch) -> list[_Heard]:
        """The events of the timers whose time has come, as if they had come just now."""
        fired: list[_Heard] = []
        causes: list[Timer] = []
        while (due_ms := self.due_ms) is not None and due_ms <= batch.now_ms:
            _, key, name = heapq.heappop(self._heap)
            del self._timers[key, name]
            row = self._row(key, turn)
            if row is None:
                continue
            timer = next(timer for timer in row.timers if timer.name == name)
            fired.append(_Heard(len(fired), key, timer.type, timer.body, name))
            causes.append(timer)
        if fired:
            batch.origins = self._origins(fired, causes, batch)
        return fired

    def _origins(self, fired: list[_Heard], causes: list[Timer], batch: Batch) -> Origins:
        """What fired, as records of the inbox that stand where their timers were set."""
        count = len(fired)
        headers = [
            tuple((name, value.encode()) for name, value in timer.headers) for timer in causes
        ]
        offsets = np.array([timer.offset for timer in causes], dtype=np.int64)
        read = FetchedRecords(
            BytesColumn([str(one.key).encode() for one in fired]),
            BytesColumn([one.body.encode() for one in fired]),
            np.full(count, batch.now_ms, dtype=np.int64),
            headers if any(headers) else None,
            partition=TopicPartition(self._of.inbox.name, batch.partition),
            offsets=offsets,
            next_offset=int(offsets.max()) + 1,
        )
        return Origins.of([read], np.zeros(count, dtype=np.int64), np.arange(count))

    def _set_timers(self, key: Any, row: Row | None) -> None:
        """Have the clock know the timers of a process, and no others."""
        wanted = {timer.name: timer.due_ms for timer in row.timers} if row is not None else {}
        for known in [known for known in self._timers if known[0] == key]:
            if known[1] not in wanted:
                del self._timers[known]
        for name, due_ms in wanted.items():
            if self._timers.get((key, name)) != due_ms:
                self._timers[key, name] = due_ms
                heapq.heappush(self._heap, (due_ms, key, name))

    # Reactions

    def _row(self, key: Any, turn: _Round) -> Row | None:
        """A process as it is now, in this batch or from before it."""
        if key in turn.rows:
            return turn.rows[key]
        rows = self._store.rows_of(key)
        if not rows:
            return None
        return Row.of(dict(zip(self._store.schema, rows[0], strict=True)))

    def _hear(self, heard: _Heard, turn: _Round, batch: Batch) -> None:
        row = self._row(heard.key, turn)
        if row is not None and heard.timer:
            timers = [timer for timer in row.timers if timer.name != heard.timer]
            row = Row(row.state, timers, row.error, row.held)
            turn.rows[heard.key] = row
        if row is not None and row.held and not batch.replay:
            self._hold(heard, row, turn, batch)
            return
        made, error, tries = batch.attempt(lambda: self._react(heard, row, batch))
        if error is not None:
            self._fail(heard, row, error, tries, turn, batch)
            return
        after, sent = made
        if after is not None and row is not None and row.held:  # a replay
            after.held = row.held - 1
            after.error = row.error if after.held else None
        if after is not None or row is not None:
            turn.rows[heard.key] = after
        for topic, event in sent:
            turn.sent.setdefault(topic, []).append((heard.seq, event))
        if sent:
            batch.said[heard.seq] = sent_by(self._of.address, heard.key)

    def _react(
        self, heard: _Heard, row: Row | None, batch: Batch
    ) -> tuple[Row | None, list[tuple[str, Event]]]:
        """The process after an event, and what is to be sent."""
        event = self._event(heard, batch)
        form, persons = self._of.form, batch.persons
        state = self._of.initial() if row is None else form.load(row.state, persons)
        timers = {} if row is None else {timer.name: timer for timer in row.timers}
        sent: list[tuple[str, Event]] = []
        over = False
        for effect in _listed(self._of.react(event, state)):
            if isinstance(effect, After):
                timers[effect.name] = self._timer(effect, heard, batch)
            elif isinstance(effect, Cancel):
                timers.pop(effect.name, None)
            elif isinstance(effect, Done):
                over = True
            else:
                sent.append((self._target(effect), effect))
        text = form.dump(state, persons)
        if row is None and not timers and text == form.dump(self._of.initial(), persons):
            over = True  # nothing has begun
        return None if over else Row(text, list(timers.values())), sent

    def _event(self, heard: _Heard, batch: Batch) -> Event | Refusal:
        """What `react` is given. Raises VagusError for what it doesn't hear of."""
        if heard.type == REFUSAL:
            return self._refusal(Told(**json.loads(heard.body)), batch)
        kind = self._of.types.get(heard.type)
        if kind is None:
            raise VagusError(
                f"expected one of {', '.join(sorted(self._of.types))}, got {heard.type}",
                where=self._name,
                hint="the process no longer hears of this class: name it in on= or timers=",
            )
        return from_body(kind, heard.body, batch.persons)

    def _refusal(self, told: Told, batch: Batch) -> Refusal:
        kind = self._of.sent_types.get(told.command)
        if kind not in self._of.refusal_types:
            reason = Refused(told.code, told.message)
            raise VagusError(
                f"{told.command} was refused: {reason}",
                where=self._name,
                hint=f"have react say what follows from that, and declare refusals={told.command}",
            )
        return told.refusal(kind, batch.persons)

    def _timer(self, effect: After, heard: _Heard, batch: Batch) -> Timer:
        name = type(effect.event).__name__
        if name not in self._of.timer_types:
            raise EncodeError(
                f"expected one of the process's timers, got {name}",
                where=self._name,
                hint=f"declare it: timers=({name}, ...)",
            )
        cause = batch.origins[heard.seq]
        return Timer(
            effect.name,
            batch.now_ms + effect.delay_ms,
            name,
            to_body(effect.event, batch.persons),
            [(header, value.decode(errors="replace")) for header, value in cause.headers],
            cause.partition,
            cause.offset,
        )

    def _target(self, effect: Any) -> str:
        topic = self._of.targets.get(type(effect))
        if topic is None:
            raise EncodeError(
                f"expected react to give commands, After, Cancel or Done, got {effect!r}",
                where=self._name,
                hint=f"name the topic of {type(effect).__name__} in sends=[...]"
                if isinstance(effect, Event)
                else "an event, a command, or what vagus offers beside them",
            )
        return topic.name

    def _fail(
        self,
        heard: _Heard,
        row: Row | None,
        error: BaseException,
        tries: int,
        turn: _Round,
        batch: Batch,
    ) -> None:
        """Set an event apart, and hold up its process."""
        batch.fail(heard.seq, self._name, error, tries=tries)
        if row is None:
            row = Row(self._of.form.dump(self._of.initial(), batch.persons), [])
        if not row.held or not batch.replay:
            text = f"{type(error).__name__}: {error}"
            row = Row(row.state, row.timers, row.error or text, row.held + 1)
        turn.rows[heard.key] = row

    def _hold(self, heard: _Heard, row: Row, turn: _Round, batch: Batch) -> None:
        error = VagusError(
            f"an earlier event of process {heard.key!r} failed: {row.error}",
            where=self._name,
            hint="mend what failed, then replay the dead letters of this step, all of them",
        )
        batch.fail(heard.seq, self._name, error)
        turn.rows[heard.key] = Row(row.state, row.timers, row.error, row.held + 1)

    def _keep(self, turn: _Round, batch: Batch) -> None:
        if not turn.rows:
            return
        for key, row in turn.rows.items():
            self._set_timers(key, row)
        gone = Row("", []).columns()
        columns = [gone if row is None else row.columns() for row in turn.rows.values()]
        schema = {KEY: self._of.key_type, **self._store.columns}
        data = {KEY: list(turn.rows), **{name: [c[name] for c in columns] for name in gone}}
        self._store.stage(
            pl.DataFrame(data, schema=schema).with_columns(
                pl.lit(batch.now_ms).cast(TIME_TYPE).alias(TIME),
                pl.Series(TOMBSTONE, [row is None for row in turn.rows.values()]),
            )
        )


def _heard(frame: pl.DataFrame) -> list[_Heard]:
    columns = frame.select(SEQ, KEY, "type", "body").iter_rows()
    return [_Heard(*row) for row in columns]


def _listed(result: Any) -> Iterable[Any]:
    if result is None:
        return ()
    if isinstance(result, (Event, After, Cancel, Done)):
        return (result,)
    return list(result)


def _framed(topic: Topic, sent: list[tuple[int, Event]], batch: Batch) -> pl.DataFrame:
    """Events as a frame of their topic."""
    frame = batch.sealed(topic.frame([event for _, event in sent]), topic.marks)
    now = pl.lit(batch.now_ms).cast(TIME_TYPE)
    moment = now if topic.time is None else pl.col(topic.time).cast(TIME_TYPE)
    assert topic.key is not None
    return frame.with_columns(
        pl.Series(SEQ, [seq for seq, _ in sent], dtype=pl.UInt32()),
        pl.col(topic.key).cast(topic.key_type).alias(KEY),
        moment.alias(TIME),
        pl.lit(False).alias(TOMBSTONE),
    ).select(topic.empty.columns)
