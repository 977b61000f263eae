"""The step that decides: commands in, events out, with states, answers and replies beside them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vagus.errors import EncodeError, VagusError
from vagus.events import AvroCodec, KeyCodec, MemoryRegistry, RecordSchema, partitions_for
from vagus.hub import Records, TopicPartition
from vagus.runtime.batch import Answer
from vagus.runtime.frame import KEY, SEQ, TIME, TIME_TYPE, TOMBSTONE
from vagus.services.envelope import REPLY_TOPIC, Envelope
from vagus.services.memory import AnswerMemory, Remembered, fingerprint
from vagus.services.outcome import accepted_text, failed_text, refused_text
from vagus.services.refusal import Conflict, Expired, KeyReused, Refused
from vagus.streams.fields import Several, marks_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vagus.events import Event
    from vagus.hub.personkeys import PersonSession
    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.services.aggregate import AggregateType

__all__ = ["Deciding"]

_LIVE_STATES = 100_000  # states that a task holds as objects; the others wait as text
_NOTHING = Envelope()


@dataclass(slots=True)
class _Asked:
    """A command of the batch, and what came of it."""

    row: int
    key: Any
    command: Event
    envelope: Envelope
    answer: str | Remembered = ""  # a text, or one that is known once another one is
    error: BaseException | None = None
    unsound: bool = False  # it can't be decided at all
    tries: int = 1
    version: int = 0
    events: list[Event] = field(default_factory=list)
    remembered: Remembered | None = None


@dataclass(slots=True)
class _Round:
    """One pass over the commands of a batch; nothing of it counts before all of it is written.

    In a careful one, what each command makes is written out at once, to see that it can be.
    """

    careful: bool = False
    cells: dict[Any, tuple[int, Any]] = field(default_factory=dict)
    fresh: dict[str, Remembered] = field(default_factory=dict)
    texts: dict[Any, str] = field(default_factory=dict)
    frame: pl.DataFrame | None = None


class Deciding:
    """Decides the commands of one partition, each after the ones before it."""

    def __init__(self, aggregate: AggregateType, states: Store, answers: Store) -> None:
        self._of = aggregate
        self._name = f"{aggregate.name}.decide"
        self._states = states
        self._persons: PersonSession
        self._live: OrderedDict[Any, tuple[int, Any]] = OrderedDict()
        self._memory = AnswerMemory(answers, int(aggregate.keep_s * 1000))
        self._reader = reader_of(aggregate.command_types)
        self._marks = marks_read(self._reader)
        self._forgotten = 0
        self._keys = KeyCodec(aggregate.command_topic.key_kind)
        # Only to see that events can be written: the ids of schemas don't matter there.
        events = aggregate.event_topic
        self._trial = AvroCodec(events.schemas, MemoryRegistry(), events.name)

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        self._persons = batch.persons
        self._let_go_of_forgotten()
        frame = batch.opened(self._name, self._sound(inputs[0], batch), self._marks)
        if not frame.height:
            return self._of.event_topic.empty
        self._memory.forget(batch.now_ms)
        asked = self._asked(frame, batch)
        turn = self._decide_all(asked, batch, _Round())
        try:
            self._write_out(turn, asked, frame)
        except Exception:  # noqa: BLE001 - a state or an event that the user's functions made
            turn = self._decide_all(asked, batch, _Round(careful=True))
            self._write_out(turn, asked, frame)
        self._take_effect(turn, asked, frame, batch)
        return self._of.event_topic.empty if turn.frame is None else turn.frame

    def _let_go_of_forgotten(self) -> None:
        """Drop states in memory that may hold what was erased: the stored ones no longer do."""
        if self._of.form.personal and self._forgotten != (seen := self._persons.forgotten):
            self._forgotten = seen
            self._live.clear()

    # What comes in

    def _sound(self, frame: pl.DataFrame, batch: Batch) -> pl.DataFrame:
        """The commands that have a key, and are in its partition."""
        wrong = frame[TOMBSTONE] | frame[KEY].is_null()
        if batch.partitions > 1:
            here = partitions_for(self._keys.encode(frame[KEY]), batch.partitions)
            wrong |= pl.Series(here != batch.partition)
        if not wrong.any():
            return frame
        for seq in frame.filter(wrong)[SEQ].to_list():
            error = VagusError(
                "expected a command with a key, in the partition that the key belongs to",
                where=f"{self._of.command_topic.name}, partition {batch.partition}",
                hint="send commands with Vagus, or with Kafka's default partitioner",
            )
            batch.fail(seq, self._name, error)
        return frame.filter(~wrong)

    def _asked(self, frame: pl.DataFrame, batch: Batch) -> list[_Asked]:
        commands = self._reader.from_frame(frame)
        keys = frame[KEY].to_list()
        envelopes = [_NOTHING] * len(keys)
        errors: dict[int, BaseException] = {}
        if batch.origins.has_headers:
            for row, headers in enumerate(batch.origins.headers(frame[SEQ].to_numpy())):
                try:
                    envelopes[row] = Envelope.from_headers(headers)
                except ValueError as error:
                    errors[row] = error
        asked = [
            _Asked(row, key, command, envelope)
            for row, (key, command, envelope) in enumerate(
                zip(keys, commands, envelopes, strict=True)
            )
        ]
        for one in asked:
            if (own := self._of.key_of(one.command)) != one.key:
                errors[one.row] = EncodeError(f"expected the key {own!r}, got {one.key!r}")
        for row, problem in errors.items():
            asked[row].error, asked[row].unsound = problem, True
        return asked

    # What is decided

    def _decide_all(self, asked: list[_Asked], batch: Batch, turn: _Round) -> _Round:
        for one in asked:
            if not one.unsound:
                self._decide(one, turn, batch)
        return turn

    def _decide(self, one: _Asked, turn: _Round, batch: Batch) -> None:
        envelope = one.envelope
        one.events, one.answer, one.remembered, one.error = [], "", None, None
        mark = ""
        if (key := envelope.idempotency_key) is not None:
            mark = fingerprint(one.command)
            known = turn.fresh.get(key) or self._memory.get(key)
            if known is not None:
                one.answer = known if known.command == mark else refused_text(KeyReused(key))
                return
        if envelope.deadline_ms is not None and batch.now_ms >= envelope.deadline_ms:
            one.answer = refused_text(Expired(late_ms=batch.now_ms - envelope.deadline_ms))
            return
        try:
            self._judge(one, turn)
        except Exception as error:  # noqa: BLE001 - whatever the user's functions raise
            _, one.error, one.tries = batch.again(lambda: self._judge(one, turn), error)
        if key is not None and one.error is None:
            one.remembered = turn.fresh[key] = Remembered(mark, batch.now_ms, one.answer)

    def _judge(self, one: _Asked, turn: _Round) -> None:
        version, state = turn.cells.get(one.key) or self._cell(one.key)
        expected = one.envelope.expected_version
        try:
            if expected is not None and expected != version:
                raise Conflict(expected=expected, actual=version)
            events, state = self._of.judge(one.command, state)
        except Refused as refused:
            one.answer = refused_text(refused)
            return
        if turn.careful and events:
            self._of.form.dump(state, self._persons)
            self._columns(events)
        one.version = version + len(events)
        if events:
            one.events = events
            turn.cells[one.key] = one.version, state

    def _cell(self, key: Any) -> tuple[int, Any]:
        """The version and state of an aggregate as of the last batch."""
        cell = self._live.get(key)
        if cell is None:
            rows = self._states.rows_of(key)
            if not rows:
                return 0, self._of.decider.initial()
            row = dict(zip(self._states.schema, rows[0], strict=True))
            cell = row["version"], self._of.form.load(row["state"], self._persons)
            self._keep(key, cell)
        return cell

    def _keep(self, key: Any, cell: tuple[int, Any]) -> None:
        self._live[key] = cell
        if len(self._live) > _LIVE_STATES:
            self._live.popitem(last=False)

    # What goes out

    def _write_out(self, turn: _Round, asked: list[_Asked], commands: pl.DataFrame) -> None:
        """Make text of the states, and a frame of the events. Raises if one can't be written."""
        for key, (_, state) in turn.cells.items():
            turn.texts[key] = self._of.form.dump(state, self._persons)
        having = [one for one in asked if one.events]
        if not having:
            return
        made = self._columns([event for one in having for event in one.events])
        rows = np.repeat([one.row for one in having], [len(one.events) for one in having])
        turn.frame = commands[[SEQ, KEY, TIME, TOMBSTONE]][rows].hstack(made)

    def _columns(self, events: list[Event]) -> pl.DataFrame:
        """The events in the columns of their topic. Raises EncodeError if one can't be written."""
        topic = self._of.event_topic
        types = {type(event): None for event in events}
        several = len(topic.schemas) > 1
        parts, places = [], []
        for event_type in types:
            at = [n for n, event in enumerate(events) if type(event) is event_type]
            part = event_type.to_frame([events[n] for n in at])
            part = self._persons.seal(part, RecordSchema.of(event_type).marks)
            if several:
                name = pl.Series("_type", [event_type.__name__], pl.String)
                part = part.hstack([name.new_from_index(0, len(at))])
            parts.append(part)
            places += at
        made = parts[0]
        if len(parts) > 1:
            made = pl.concat(parts, how="diagonal")[np.argsort(places)]
        found = [
            made[name]
            if name in made.columns
            else pl.Series(name, [None], dtype).new_from_index(0, made.height)
            for name, dtype in topic.columns.items()
        ]
        whole = pl.DataFrame(found) if found else pl.DataFrame(height=len(events))
        self._trial.encode(whole)
        return whole

    def _take_effect(
        self, turn: _Round, asked: list[_Asked], frame: pl.DataFrame, batch: Batch
    ) -> None:
        for key, cell in turn.cells.items():
            self._keep(key, cell)
        if turn.cells:
            changed = {
                KEY: list(turn.cells),
                "version": [version for version, _ in turn.cells.values()],
                "state": list(turn.texts.values()),
            }
            self._states.stage(
                pl.DataFrame(changed, schema_overrides={KEY: self._keys.dtype}).with_columns(
                    pl.lit(batch.now_ms).cast(TIME_TYPE).alias(TIME),
                    pl.lit(False).alias(TOMBSTONE),
                )
            )
        self._memory.add(turn.fresh)
        seqs = frame[SEQ].to_list()
        accepted = refused = 0
        for one in asked:
            if one.error is not None:
                one.events = []
                one.answer = failed_text(one.error)
                batch.fail(seqs[one.row], self._name, one.error, tries=one.tries)
            elif one.answer == "":
                accepted += 1
            elif isinstance(one.answer, str):
                refused += 1
        batch.metrics.add("commands_accepted", self._of.name, accepted)
        batch.metrics.add("commands_refused", self._of.name, refused)
        if any(one.envelope.request is not None or one.remembered is not None for one in asked):
            batch.urgent = True
            replies = _Replies(self._of, batch.partition, batch.now_ms)
            batch.answers.append(
                Answer(self._of.event_topic.name, lambda offsets: replies.write(asked, offsets))
            )


def reader_of(event_types: tuple[type[Event], ...]) -> Any:
    """What makes objects of frames of these types."""
    return event_types[0] if len(event_types) == 1 else Several(event_types)


class _Replies:
    """The replies to the commands of a batch, and the answers that are kept of it."""

    def __init__(self, aggregate: AggregateType, partition: int, now_ms: int) -> None:
        self._event_topic = aggregate.event_topic.name
        self._answers = TopicPartition(aggregate.answer_topic.name, partition)
        self._partition, self._now_ms = partition, now_ms

    def write(
        self, asked: list[_Asked], offsets: NDArray[np.int64]
    ) -> list[tuple[TopicPartition, Records]]:
        """The records, now that it is known where the events lie."""
        places: list[int] = offsets.tolist()
        at = 0
        found: dict[TopicPartition, tuple[list[bytes | None], list[bytes | None]]] = {}
        for one in asked:
            text = one.answer.text if isinstance(one.answer, Remembered) else one.answer
            if not text:
                end = at + len(one.events)
                names = [type(event).__name__ for event in one.events]
                text = accepted_text(
                    self._event_topic, self._partition, one.version, names, places[at:end]
                )
                at = end
            if one.remembered is not None:
                one.remembered.text = text
                key = one.envelope.idempotency_key
                assert key is not None
                kept = found.setdefault(self._answers, ([], []))
                kept[0].append(key.encode())
                kept[1].append(one.remembered.to_value())
            if one.envelope.request is not None:
                to = TopicPartition(REPLY_TOPIC, one.envelope.reply_partition)
                keys, values = found.setdefault(to, ([], []))
                keys.append(one.envelope.request)
                values.append(text.encode())
        return [
            (to, Records.of(keys, values, [self._now_ms] * len(keys)))
            for to, (keys, values) in found.items()
        ]
