"""The step that decides: commands in, events out, with states, answers and replies beside them."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pydantic_core import to_json

from vagus.errors import EncodeError, VagusError
from vagus.events import AvroCodec, KeyCodec, MemoryRegistry, RecordSchema, partitions_for
from vagus.events.nodes import Scalar, Temporal
from vagus.hub import Records, TopicPartition
from vagus.runtime.batch import Answer
from vagus.runtime.frame import KEY, SEQ, SYSTEM, TOMBSTONE, constant
from vagus.services.envelope import REPLIES, REPLY_PARTITIONS, Envelope
from vagus.services.exchange import Exchange, home_of
from vagus.services.memory import AnswerMemory, Remembered, fingerprint
from vagus.services.outcome import Accepted, failed_text, refused_text
from vagus.services.refusal import Conflict, Expired, KeyReused, Refused
from vagus.services.told import Told
from vagus.streams.fields import Several, marks_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vagus.events import Event
    from vagus.hub.personkeys import PersonSession
    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.services.aggregate import AggregateType
    from vagus.services.writer import Headers

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
    events: Sequence[Event] = ()
    remembered: Remembered | None = None
    told: Told | None = None  # to the process that sent it, if it was refused


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
        self._restored = states
        self._texts: dict[Any, tuple[int, str]] = {}  # what has changed since
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
        self._plain = {
            one: plain for one in aggregate.event_types if (plain := _plain_columns(one))
        }

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
        elsewhere = np.zeros(frame.height, dtype=bool)
        if batch.partitions > 1:
            here = partitions_for(self._keys.encode(frame[KEY]), batch.partitions)
            elsewhere = here != batch.partition
        if not frame[TOMBSTONE].any() and not frame[KEY].null_count() and not elsewhere.any():
            return frame
        wrong = frame[TOMBSTONE] | frame[KEY].is_null() | pl.Series(elsewhere)
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
        said: Sequence[Headers] = [()] * len(keys)
        if batch.origins.has_headers:
            said = batch.origins.headers(frame[SEQ].to_numpy())
        key_of, asked = self._of.key_of, []
        for row, (key, command, headers) in enumerate(zip(keys, commands, said, strict=True)):
            one = _Asked(row, key, command, _NOTHING)
            asked.append(one)
            try:
                if headers:
                    one.envelope = Envelope.from_headers(headers)
                if (own := key_of(command)) != key:
                    raise EncodeError(f"expected the key {own!r}, got {key!r}")
            except (ValueError, EncodeError) as error:
                one.error, one.unsound = error, True
        return asked

    # What is decided

    def _decide_all(self, asked: list[_Asked], batch: Batch, turn: _Round) -> _Round:
        for one in asked:
            if not one.unsound:
                self._decide(one, turn, batch)
        return turn

    def _decide(self, one: _Asked, turn: _Round, batch: Batch) -> None:
        envelope = one.envelope
        one.events, one.answer, one.remembered, one.error, one.told = (), "", None, None, None
        mark = ""
        if (key := envelope.idempotency_key) is not None:
            mark = fingerprint(one.command)
            known = turn.fresh.get(key) or self._memory.get(key)
            if known is not None:
                if known.command == mark:
                    one.answer = known
                else:
                    self._refuse(one, KeyReused(key))
                return
        if envelope.deadline_ms is not None and batch.now_ms >= envelope.deadline_ms:
            self._refuse(one, Expired(late_ms=batch.now_ms - envelope.deadline_ms))
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
            self._refuse(one, refused)
            return
        if turn.careful and events:
            self._of.form.dump(state, self._persons)
            self._columns(events)
        one.version = version + len(events)
        if events:
            one.events = events
            turn.cells[one.key] = one.version, state

    def _refuse(self, one: _Asked, refused: Refused) -> None:
        one.answer = refused_text(refused)
        if (process := one.envelope.process) is not None:
            one.told = Told.of(process, one.command, refused, self._persons)

    def _cell(self, key: Any) -> tuple[int, Any]:
        """The version and state of an aggregate as of the last batch."""
        cell = self._live.get(key)
        if cell is None:
            stored = self._stored(key)
            if stored is None:
                return 0, self._of.decider.initial()
            cell = stored[0], self._of.form.load(stored[1], self._persons)
            self._keep({key: cell})
        return cell

    def _stored(self, key: Any) -> tuple[int, str] | None:
        """The version of an aggregate, and its state as text."""
        changed = self._texts.get(key)
        if changed is None and (rows := self._restored.rows_of(key)):
            row = dict(zip(self._restored.schema, rows[0], strict=True))
            return row["version"], row["state"]
        return changed

    def _keep(self, cells: dict[Any, tuple[int, Any]]) -> None:
        self._live.update(cells)
        while len(self._live) > _LIVE_STATES:
            self._live.popitem(last=False)

    # What goes out

    def _write_out(self, turn: _Round, asked: list[_Asked], commands: pl.DataFrame) -> None:
        """Make text of the states, and a frame of the events. Raises if one can't be written."""
        states = [state for _, state in turn.cells.values()]
        texts = self._of.form.dump_all(states, self._persons)
        turn.texts = dict(zip(turn.cells, texts, strict=True))
        having = [one for one in asked if one.events]
        if not having:
            return
        made = self._columns([event for one in having for event in one.events])
        rows = [one.row for one in having for _ in one.events]
        system = [commands.get_column(name) for name in SYSTEM]
        if rows != list(range(commands.height)):
            system = [column.gather(rows) for column in system]
        turn.frame = pl.DataFrame([*system, *made])

    def _columns(self, events: list[Event]) -> list[pl.Series]:
        """The events in the columns of their topic. Raises EncodeError if one can't be written."""
        topic = self._of.event_topic
        types = {type(event): None for event in events}
        several = len(topic.schemas) > 1
        parts, places, sure = [], [], True
        for event_type in types:
            at = [n for n, event in enumerate(events) if type(event) is event_type]
            part = event_type.to_frame([events[n] for n in at])
            columns = self._plain.get(event_type)
            sure = sure and columns is not None and not any(part[n].null_count() for n in columns)
            part = self._persons.seal(part, RecordSchema.of(event_type).marks)
            if several:
                name = constant("_type", event_type.__name__, pl.String(), len(at))
                part = part.hstack([name])
            parts.append(part)
            places += at
        made = parts[0]
        if len(parts) > 1:
            made = pl.concat(parts, how="diagonal")[np.argsort(places)]
        found = [
            made[name] if name in made.columns else constant(name, None, dtype, made.height)
            for name, dtype in topic.columns.items()
        ]
        if not sure:
            self._trial.encode(pl.DataFrame(found) if found else pl.DataFrame(height=len(events)))
        return found

    def _take_effect(
        self, turn: _Round, asked: list[_Asked], frame: pl.DataFrame, batch: Batch
    ) -> None:
        self._keep(turn.cells)
        texts = turn.texts
        self._texts.update({key: (cell[0], texts[key]) for key, cell in turn.cells.items()})
        self._memory.add(turn.fresh)
        seqs = frame[SEQ].to_list()
        accepted = refused = 0
        told: list[_Asked] = []
        for one in asked:
            if one.error is not None:
                one.events = ()
                one.answer = failed_text(one.error)
                batch.fail(seqs[one.row], self._name, one.error, tries=one.tries)
            elif one.answer == "":
                accepted += 1
            elif isinstance(one.answer, str):
                refused += 1
                if one.told is not None:
                    told.append(one)
        batch.metrics.add("commands_accepted", self._of.name, accepted)
        batch.metrics.add("commands_refused", self._of.name, refused)
        if told:
            rows = frame[[one.row for one in told]]
            batch.side[self._of.telling] = Told.frame([one.told for one in told if one.told], rows)
        waited = any(
            one.envelope.request is not None or one.remembered is not None for one in asked
        )
        if waited or turn.cells:
            batch.urgent = batch.urgent or waited
            outcome = _Written(self._of, asked, turn, batch.partition, batch.now_ms, batch.in_doubt)
            topic = self._of.event_topic.name
            batch.answers.append(Answer(topic, outcome.records, outcome.deliver))


_Columns = tuple[list[bytes | None], list[bytes | None]]


@dataclass(frozen=True, slots=True)
class _Written:
    """What is written of a batch besides its events: states, replies, answers that are kept.

    Replies to this process go there directly, once the commit is done. If it might be done though
    it failed, they are written, too: a new worker would not know of them.
    """

    aggregate: AggregateType
    asked: list[_Asked]
    turn: _Round
    partition: int
    now_ms: int
    in_doubt: bool
    near: dict[Exchange, list[tuple[bytes, Accepted | str]]] = field(default_factory=dict)

    def records(self, offsets: NDArray[np.int64]) -> list[tuple[TopicPartition, Records]]:
        """The records, now that it is known where the events lie."""
        replies: list[_Columns] = [([], []) for _ in range(REPLY_PARTITIONS)]
        answers: _Columns = [], []
        places: list[int] = offsets.tolist()
        topic, partition, at = self.aggregate.event_topic.name, self.partition, 0
        for one in self.asked:
            known = one.answer.text if isinstance(one.answer, Remembered) else one.answer
            answer: Accepted | str = known
            if not known:
                end = at + len(one.events)
                names = [type(event).__name__ for event in one.events]
                answer = Accepted(topic, partition, one.version, names, places[at:end])
                at = end
            if one.remembered is not None:
                one.remembered.text = _text(answer)
                answers[0].append((one.envelope.idempotency_key or "").encode())
                answers[1].append(one.remembered.to_value())
            if (request := one.envelope.request) is not None:
                home = home_of(request)
                if home is not None:
                    self.near.setdefault(home, []).append((request, answer))
                if home is None or self.in_doubt:
                    keys, values = replies[one.envelope.reply_partition]
                    keys.append(request)
                    values.append(_text(answer).encode())
        found = [
            (TopicPartition(self.aggregate.state_topic.name, partition), self._states()),
            (TopicPartition(self.aggregate.answer_topic.name, partition), answers),
        ]
        for number, columns in enumerate(replies):
            found.append((TopicPartition(REPLIES.name, number), columns))
        return [
            (to, Records.of(keys, values, [self.now_ms] * len(keys)))
            for to, (keys, values) in found
            if keys
        ]

    def deliver(self) -> None:
        """Tell those who wait in this process."""
        for home, replies in self.near.items():
            home.deliver(replies)

    def _states(self) -> _Columns:
        values: list[bytes | None] = [
            b'{"version":%d,"state":%s}' % (version, to_json(self.turn.texts[key]))
            for key, (version, _) in self.turn.cells.items()
        ]
        return list(map(key_bytes, self.turn.cells)), values


def _text(answer: Accepted | str) -> str:
    return answer if isinstance(answer, str) else answer.text()


def _plain_columns(event_type: type[Event]) -> list[str]:
    """The columns of a type whose values can be written whatever they are; none if some can't."""
    nodes = RecordSchema.of(event_type).nodes
    plain = all(
        isinstance(node, Temporal) or (isinstance(node, Scalar) and not node.uuid)
        for node in nodes.values()
    )
    return list(nodes) if plain else []


def key_bytes(key: Any) -> bytes:
    """A key as `KeyCodec` writes it."""
    if isinstance(key, str):
        return key.encode()
    return key.to_bytes(8, "big", signed=True) if isinstance(key, int) else bytes(key)


def reader_of(event_types: tuple[type[Event], ...]) -> Any:
    """What makes objects of frames of these types."""
    return event_types[0] if len(event_types) == 1 else Several(event_types)
