"""Aggregates: what decides about one thing at a time, and what is kept for it."""

from __future__ import annotations

from enum import Enum
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

import polars as pl

from vagus.errors import DeclarationError, EncodeError, nearest
from vagus.events import Field, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.topic import Topic
from vagus.runtime.topology import Sink, Step, StoreSpec
from vagus.services.command import Command
from vagus.services.deciding import Deciding, reader_of
from vagus.services.envelope import REPLIES
from vagus.services.handing import hand_on
from vagus.services.snapshot import SnapshotForm
from vagus.services.told import refusal_topic
from vagus.streams.fields import record_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.events import Event
    from vagus.services.decider import Decider
    from vagus.services.service import Service
    from vagus.streams import Stream

__all__ = ["AggregateType"]


class AggregateType:
    """One kind of aggregate of a service: its commands, its events, its decider, its topics.

    `service.aggregate(...)` makes it. `commands` and `events` are streams, as `service.topic`
    gives them.

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> class Open(vg.Command):
    ...     account: str
    >>> class Opened(vg.Event):
    ...     account: str
    >>> class Account(BaseModel):
    ...     is_open: bool = False
    >>> service = vg.Service("bank")
    >>> accounts = service.aggregate(
    ...     "account",
    ...     key="account",
    ...     commands=Open,
    ...     events=Opened,
    ...     decider=vg.Decider(
    ...         initial=Account,
    ...         decide=lambda command, state: [Opened(account=command.account)],
    ...         evolve=lambda state, event: Account(is_open=True),
    ...     ),
    ... )
    >>> accounts.judge(Open(account="a"), Account())
    ([Opened(account='a')], Account(is_open=True))
    """

    def __init__(
        self,
        service: Service,
        name: str,
        key: str,
        decider: Decider[Any],
        commands: Stream,
        events: Stream,
        keep_s: float,
    ) -> None:
        self.service, self.name, self.key, self.decider = service, name, key, decider
        self.commands, self.events = commands, events
        self.command_topic: Topic = service.topics[commands.base]
        self.event_topic: Topic = service.topics[events.base]
        self.key_of = _key_of(key, (*commands.event_types, *events.event_types))
        self._known = frozenset(events.event_types)
        self.form = SnapshotForm(decider.initial, f"aggregate {name!r}")
        self.keep_s = keep_s
        for command_type in commands.event_types:
            if not issubclass(command_type, Command):
                raise DeclarationError(
                    f"expected commands, got {command_type.__name__}",
                    where=f"aggregate {name!r}",
                    hint=f"class {command_type.__name__}(vg.Command): ...",
                )
        for event_type in events.event_types:
            if issubclass(event_type, Command):
                raise DeclarationError(
                    f"expected events, got the command {event_type.__name__}",
                    where=f"aggregate {name!r}",
                )
        if self.command_topic.key_kind != self.event_topic.key_kind:
            raise DeclarationError(
                f"expected {key!r} to be of one type, got {self.command_topic.key_type} in "
                f"commands and {self.event_topic.key_type} in events",
                where=f"aggregate {name!r}",
            )
        refusals = refusal_topic(self.command_topic)
        assert refusals is not None
        self.refusal_topic = service._register(refusals)
        self.telling = f"{name}.refusals"
        self.state_topic = self._own("state", {"version": pl.Int64(), "state": pl.String()})
        self.answer_topic = self._own(
            "answer", {"command": pl.String(), "answer": pl.String()}, kept_s=keep_s
        )
        self._add()

    def __repr__(self) -> str:
        return f"<AggregateType {self.name!r} of service {self.service.name!r}>"

    @property
    def command_types(self) -> tuple[type[Event], ...]:
        """The commands that it takes."""
        return self.commands.event_types

    @property
    def event_types(self) -> tuple[type[Event], ...]:
        """The events that come of them."""
        return self.events.event_types

    @property
    def event_reader(self) -> Any:
        """What makes events of the frames of the event topic: `from_frame`."""
        return reader_of(self.event_types)

    def judge(self, command: Event, state: Any) -> tuple[list[Event], Any]:
        """The events that come of a command, and the state after them.

        Raises Refused; EncodeError where `decide` gives what isn't an event of this aggregate; and
        whatever `decide` and `evolve` raise.
        """
        events = self.decider.events(command, state)
        key = self.key_of(command)
        for event in events:
            if type(event) not in self._known:
                wanted = " or ".join(known.__name__ for known in self.event_types)
                raise EncodeError(
                    f"expected decide to give {wanted}, got {type(event).__name__}",
                    where=f"aggregate {self.name!r}",
                    hint=f"{self.event_topic.name!r} holds no events of other topics: declare the "
                    "type with events=..., or react to this event elsewhere",
                )
            if self.key_of(event) != key:
                raise EncodeError(
                    f"expected {self.key}={key!r}, that of the command, got {self.key_of(event)!r}",
                    where=f"{type(event).__name__}, aggregate {self.name!r}",
                    hint="an aggregate's events are its own: what another one is to do is a "
                    "command to it",
                )
        for event in events:
            state = self.decider.evolve(state, event)
        return events, state

    def _own(
        self, what: str, columns: dict[str, pl.DataType], kept_s: float | None = None
    ) -> Topic:
        """A topic that is the aggregate's memory."""
        name = f"{self.service.name}-{self.name}-{what}"
        fields = [Field.of(column, dtype, nullable=False) for column, dtype in columns.items()]
        return Topic(
            name,
            (RecordSchema.build(record_name(name), fields),),
            key_kind="str" if kept_s is not None else self.command_topic.key_kind,
            config=TopicConfig(
                cleanup="compact" if kept_s is None else "compact,delete", retention_s=kept_s
            ),
            form="json",
            follows_inputs=True,
        )

    def _add(self) -> None:
        topology = self.service.topology
        state, answers = self.state_topic.name, self.answer_topic.name
        step = topology.add(
            Step(
                f"{self.name}.decide",
                (self.commands.node,),
                make=lambda stores: Deciding(self, stores[state], stores[answers]),
                empty=self.event_topic.empty,
                stores=(StoreSpec(self.state_topic), StoreSpec(self.answer_topic)),
                answers=(REPLIES,),
                meaning=f"decide {self.name} by {self.key}",
                label=f"decide {self.name}",
            )
        )
        topology.add(
            Sink(
                f"{step.name} -> {self.event_topic.name}",
                (step,),
                topic=self.event_topic,
                in_place=True,
            )
        )
        hand_on(topology, self.telling, step, self.refusal_topic, "refusals")
        topology.owned |= {
            self.command_topic.name,
            self.event_topic.name,
            self.refusal_topic.name,
        }

    def unknown(self, event_type: type[Event]) -> str | None:
        """A hint at the command that was meant."""
        names = [known.__name__ for known in self.command_types]
        return nearest(event_type.__name__, names)


def _key_of(key: str, event_types: tuple[type[Event], ...]) -> Callable[[Event], Any]:
    """What gives the key of a command or an event, as it stands in frames."""
    value_of = attrgetter(key)
    if all(event_type.model_fields[key].annotation in (str, int) for event_type in event_types):
        return value_of

    def key_of(event: Event) -> Any:
        value = value_of(event)
        if isinstance(value, Enum):
            return value.value
        return str(value) if isinstance(value, UUID) else value

    return key_of
