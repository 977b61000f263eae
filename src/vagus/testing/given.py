"""Given, when, then: tests of services as sentences, without a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import polars as pl

from vagus.errors import DeclarationError
from vagus.events import Event
from vagus.hub import TopicPartition
from vagus.hub.personkeys import PersonKeys
from vagus.runtime.frame import KEY, SEQ, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.topic import TopicCodec
from vagus.services.deciding import reader_of
from vagus.services.envelope import Envelope
from vagus.services.processes.process import ProcessType
from vagus.services.refusal import Refused
from vagus.services.service import Service
from vagus.services.told import Refusal, Told, refusal_topic
from vagus.services.views.check import rows_after
from vagus.services.views.declare import ViewType
from vagus.testing.harness import Harness

if TYPE_CHECKING:
    from vagus.runtime.topic import Topic
    from vagus.services.aggregate import AggregateType
    from vagus.services.command import Command
    from vagus.services.views.row import Row
    from vagus.streams import Stream
    from vagus.streams.duration import Duration

__all__ = ["Given", "GivenProcess", "GivenView", "When", "given"]


@overload
def given(subject: Service | AggregateType, *events: Event) -> Given: ...


@overload
def given(subject: ViewType, *events: Any) -> GivenView: ...


@overload
def given(subject: ProcessType, *events: Event | Refusal) -> GivenProcess: ...


def given(subject: Any, *events: Any) -> Any:
    """What has happened: the beginning of a sentence that is a test.

    Of an aggregate, `when` says which command comes, and `then` which events come of it, or which
    refusal. Of a view, `then` says which rows it has. Of a process, `then` says what it has sent,
    and `after` lets time pass before; what it has sent may come back refused (`vg.Refusal`).

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> from vagus.testing import given
    >>> class Withdraw(vg.Command):
    ...     account: str
    ...     cents: int
    >>> class Moved(vg.Event):
    ...     account: str
    ...     cents: int
    >>> class Account(BaseModel):
    ...     cents: int = 0
    >>> def decide(command, account):
    ...     if command.cents > account.cents:
    ...         raise vg.Refused("too-little", left=account.cents)
    ...     yield Moved(account=command.account, cents=-command.cents)
    >>> def evolve(account, event):
    ...     return Account(cents=account.cents + event.cents)
    >>> bank = vg.Service("bank")
    >>> accounts = bank.aggregate(
    ...     "account",
    ...     key="account",
    ...     commands=Withdraw,
    ...     events=Moved,
    ...     decider=vg.Decider(initial=Account, decide=decide, evolve=evolve),
    ... )
    >>> paid_in = Moved(account="a", cents=500)
    >>> done = given(accounts, paid_in).when(Withdraw(account="a", cents=200))
    >>> done.then(Moved(account="a", cents=-200)).state
    Account(cents=300)
    >>> _ = given(accounts).when(Withdraw(account="a", cents=1)).then(vg.Refused("too-little"))
    """
    if isinstance(subject, ViewType):
        return GivenView(subject, events)
    if isinstance(subject, ProcessType):
        return GivenProcess(subject, events)
    return Given(subject, events)


class Given:
    """What has happened; `when` comes next."""

    def __init__(self, subject: Service | AggregateType, events: tuple[Event, ...]) -> None:
        self._subject, self._events = subject, events

    def when(self, command: Command) -> When:
        """Have the aggregate decide a command.

        It is decided twice: by the decider alone, and by the service at work, with commands,
        events and the state written and read as they are in production. Raises AssertionError if
        that makes a difference, and whatever the decider raises besides a refusal.
        """
        aggregate = self._aggregate(type(command))
        state = self._state(aggregate, command)
        outcome: tuple[Event, ...] | Refused
        after = state
        try:
            events, after = aggregate.judge(command, state)
            outcome = tuple(events)
        except Refused as refused:
            outcome = refused
        self._at_work(aggregate, command, state, outcome)
        return When(command, outcome, after)

    def _aggregate(self, command_type: type[Event]) -> AggregateType:
        service = self._subject if isinstance(self._subject, Service) else self._subject.service
        aggregate = service.taker(command_type)
        if self._subject not in (service, aggregate):
            raise DeclarationError(
                f"expected a command of aggregate {self._subject.name!r}, got "
                f"{command_type.__name__} of {aggregate.name!r}"
            )
        return aggregate

    def _state(self, aggregate: AggregateType, command: Command) -> Any:
        for event in self._events:
            if type(event) not in aggregate.event_types:
                raise DeclarationError(
                    f"expected events of aggregate {aggregate.name!r}, got {type(event).__name__}"
                )
            if aggregate.key_of(event) != aggregate.key_of(command):
                raise DeclarationError(
                    f"expected events of {aggregate.key_of(command)!r}, which the command is to, "
                    f"got one of {aggregate.key_of(event)!r}"
                )
        return aggregate.decider.after(self._events)

    def _at_work(
        self,
        aggregate: AggregateType,
        command: Command,
        state: Any,
        outcome: tuple[Event, ...] | Refused,
    ) -> None:
        with Harness(aggregate.service) as harness:
            if self._events:
                _begin_with(harness, aggregate, aggregate.key_of(command), state, len(self._events))
            answer = harness.send(command)
            rows = harness.read(aggregate.event_topic.name)
        written = tuple(aggregate.event_reader.from_frame(rows))
        if isinstance(outcome, Refused):
            same = answer.refused is not None and _as_expected(answer.refused, outcome)
        else:
            same = written == outcome
        if not same:
            raise AssertionError(
                "expected the service to decide as the decider alone does, which gave "
                f"{outcome!r}, got {answer.refused or written!r}: is all that counts in the state "
                "and in the fields of events, and do they come back as they were written?"
            )


class When:
    """What came of a command: `then` says what is expected. `state` is the state after it."""

    def __init__(self, command: Command, outcome: tuple[Event, ...] | Refused, state: Any) -> None:
        self.command, self.outcome, self.state = command, outcome, state

    def then(self, *expected: Event | Refused) -> When:
        """Expect these events, in their order, or none; or a refusal.

        Of a refusal, the code has to agree, and its message and data as far as they are given.
        Raises AssertionError with what came instead.
        """
        if len(expected) == 1 and isinstance(expected[0], Refused):
            agrees = isinstance(self.outcome, Refused) and _as_expected(self.outcome, expected[0])
        else:
            agrees = self.outcome == expected
        if not agrees:
            wanted: Any = expected
            if len(expected) == 1 and isinstance(expected[0], Refused):
                wanted = expected[0]
            raise AssertionError(
                f"expected {_shown(wanted)}, got {_shown(self.outcome)}, when {self.command!r}"
            )
        return self


class GivenView:
    """What a view has been told; `then` says which rows it has."""

    def __init__(self, view: ViewType, events: tuple[Any, ...]) -> None:
        self._view, self._events = view, events

    def then(self, *expected: Row) -> None:
        """Expect these rows, in the order of their keys, or none.

        Raises AssertionError with what is there instead, and what the view's function raises.
        """
        found = tuple(rows_after(self._view, self._events))
        if found != expected:
            raise AssertionError(f"expected {_shown(expected)}, got {_shown(found)}")


class GivenProcess:
    """What a process has heard; `then` says what it has sent."""

    def __init__(self, process: ProcessType, events: tuple[Event | Refusal, ...]) -> None:
        self._process = process
        self._steps: list[Event | Refusal | Duration] = list(events)

    def after(self, by: Duration, *events: Event | Refusal) -> GivenProcess:
        """Let time pass, so that timers are due; and what comes then."""
        self._steps += [by, *events]
        return self

    def then(self, *expected: Event) -> None:
        """Expect that all of this was sent, and nothing else; in its order for each topic.

        Raises AssertionError with what was sent instead.
        """
        found: list[Event] = []
        with Harness(self._process.app) as harness:
            for step in self._steps:
                if isinstance(step, Event):
                    harness.send(self._heard_on(step), step)
                elif isinstance(step, Refusal):
                    self._refuse(harness, step)
                else:
                    harness.advance(step)
            letters = harness.dead_letters
            for topic in self._process.sends:
                rows = harness.read(topic.name)
                found += reader_of(_types(topic)).from_frame(rows)
        if letters:
            raise AssertionError(
                f"expected no failure, got {letters[0].error}: {letters[0].detail}"
            )
        wanted = sorted(expected, key=self._place_of)
        if found != wanted:
            raise AssertionError(f"expected {_shown(tuple(wanted))}, got {_shown(tuple(found))}")

    def _refuse(self, harness: Harness, refusal: Refusal) -> None:
        """Have a command that the process has sent refused."""
        command, keys = refusal.command, PersonKeys.of(harness.hub)
        self._place_of(command)
        topic = self._process.targets[type(command)]
        told = refusal_topic(topic)
        sender = _sender(harness, topic, command)
        if told is None or sender is None:
            raise AssertionError(
                f"expected process {self._process.name!r} to have sent {command!r}, which was "
                "refused, but it has not"
            )
        row = topic.frame([command]).with_columns(
            pl.lit(0, pl.UInt32).alias(SEQ),
            pl.col(topic.key or "").cast(topic.key_type).alias(KEY),
            pl.lit(int(harness._clock() * 1000)).cast(TIME_TYPE).alias(TIME),
            pl.lit(False).alias(TOMBSTONE),
        )
        _append(harness, told, Told.frame([Told.of(sender, command, refusal.reason, keys)], row))
        harness.run()

    def _heard_on(self, event: Event) -> Stream:
        for stream in self._process.inputs:
            if type(event) in stream.event_types:
                return stream
        raise DeclarationError(
            f"expected an event that process {self._process.name!r} hears, got "
            f"{type(event).__name__}"
        )

    def _place_of(self, event: Event) -> int:
        for place, topic in enumerate(self._process.sends):
            if any(schema.event_type is type(event) for schema in topic.schemas):
                return place
        raise DeclarationError(
            f"expected what process {self._process.name!r} sends, got {type(event).__name__}"
        )


def _types(topic: Topic) -> tuple[type[Event], ...]:
    types = [schema.event_type for schema in topic.schemas]
    return tuple(one for one in types if one is not None)


def _as_expected(refused: Refused, expected: Refused) -> bool:
    return (
        refused.code == expected.code
        and (not expected.reason or refused.reason == expected.reason)
        and all(
            name in refused.data and _plain(refused.data[name]) == _plain(value)
            for name, value in expected.data.items()
        )
    )


def _plain(value: Any) -> Any:
    """A value as it comes back from JSON."""
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


def _shown(outcome: tuple[Any, ...] | Refused) -> str:
    if isinstance(outcome, Refused):
        return f"refusal {outcome!r}"
    return ", ".join(map(repr, outcome)) or "nothing"


def _begin_with(
    harness: Harness, aggregate: AggregateType, key: Any, state: Any, version: int
) -> None:
    """Write the state of an aggregate to its topic, as the service does, before it starts."""
    topic = aggregate.state_topic
    harness.hub.create_topic(topic.name, aggregate.command_topic.config)
    row = pl.DataFrame(
        {
            KEY: [key],
            "version": [version],
            "state": [aggregate.form.dump(state, PersonKeys.of(harness.hub))],
        }
    ).with_columns(
        pl.lit(0, pl.UInt32).alias(SEQ),
        pl.lit(0).cast(TIME_TYPE).alias(TIME),
        pl.lit(False).alias(TOMBSTONE),
    )
    _append(harness, topic, row)


def _sender(harness: Harness, topic: Topic, command: Event) -> str | None:
    """Which case of a process sent a command, the first time that it was sent."""
    if topic.name not in harness.hub.topics():
        return None
    codec, reader = TopicCodec(topic, harness.registry), reader_of(_types(topic))
    count = harness.hub.describe_topic(topic.name).config.partitions
    starts = {TopicPartition(topic.name, number): 0 for number in range(count)}
    with harness.hub.reader(starts) as log:
        for read in log.read():
            frame = codec.decode(read).frame
            events = reader.from_frame(frame)
            for row, event in zip(frame["_row"].to_list(), events, strict=True):
                if event == command and read.headers is not None:
                    return Envelope.from_headers(read.headers[row]).process
    return None


def _append(harness: Harness, topic: Topic, row: pl.DataFrame) -> None:
    codec = TopicCodec(topic, harness.registry)
    count = harness.hub.describe_topic(topic.name).config.partitions
    harness.hub.append(
        [
            (TopicPartition(topic.name, number), records)
            for number, records, _ in codec.encode(row, count)
        ]
    )
