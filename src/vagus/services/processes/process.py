"""Process managers: what they hear, what they keep, and what they may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError, nearest
from vagus.events import Field, KeyCodec, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.frame import empty_frame
from vagus.runtime.topic import Topic
from vagus.runtime.topology import Sink, Source, Step, StoreSpec
from vagus.services.body import check_json
from vagus.services.handing import hand_on
from vagus.services.processes.inbox import ENVELOPE, Enveloping, key_field
from vagus.services.processes.reacting import Reacting
from vagus.services.snapshot import SnapshotForm
from vagus.services.told import Listening, refusal_topic
from vagus.streams.fields import key_kind, record_name

if TYPE_CHECKING:
    from vagus.events import Event, KeyType
    from vagus.streams import App, Stream

__all__ = ["Contacts", "ProcessType"]

React = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Contacts:
    """What a process hears, and what it may ask for."""

    on: Mapping[Stream, str]
    sends: Sequence[Stream] = ()
    timers: Sequence[type[Event]] = ()
    refusals: Sequence[type[Event]] = ()


class ProcessType:
    """One kind of process manager of a service. `service.process(...)` makes it.

    Events of its inputs go through a topic of its own, the inbox, by the key of the process, so
    that all events of one process come to one worker, whatever the inputs are keyed by.

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> class Placed(vg.Event):
    ...     order_id: str
    >>> class Case(BaseModel):
    ...     events: int = 0
    >>> service = vg.Service("shop")
    >>> placed = service.topic("placed", Placed, key="order_id")
    >>> service.process("case", Case, on={placed: "order_id"}, react=lambda event, case: None)
    <ProcessType 'case' of 'shop'>
    """

    def __init__(
        self,
        app: App,
        name: str,
        state: Callable[[], Any],
        react: React,
        contacts: Contacts,
    ) -> None:
        self.app, self.name, self.react, self.initial = app, name, react, state
        where = f"process {name!r}"
        on, timers = contacts.on, contacts.timers
        if not on:
            raise DeclarationError("expected topics to react to, got none", where=where)
        self.form = SnapshotForm(state, where)
        self.inputs = dict(on)
        self.sends = tuple(_declared(app, stream, where) for stream in contacts.sends)
        heard = [kind for stream in on for kind in stream.event_types]
        self.types = _by_name([*heard, *timers], where)
        self.timer_types = {kind.__name__ for kind in timers}
        self.targets = _by_type(self.sends, where)
        answered = [(topic, told) for topic in self.sends if (told := refusal_topic(topic))]
        self.refusals = [told for _, told in answered]
        self.sent_types = _by_name(
            [schema.event_type for topic, _ in answered for schema in topic.schemas], where
        )
        self.refusal_types = frozenset(contacts.refusals)
        self._check_refusals(where)
        kinds = {
            key_kind(where, key_field(stream, field, where).dtype) for stream, field in on.items()
        }
        if len(kinds) > 1:
            raise DeclarationError(
                f"expected the fields that name the process to be of one type, got {sorted(kinds)}",
                where=where,
            )
        check_json([*heard, *timers, *self.sent_types.values()], where)
        self.key_kind: KeyType = kinds.pop()
        self.inbox = self._own("repartition", ENVELOPE, TopicConfig())
        self.state_topic = self._own(
            "changelog",
            (
                Field.of("state", pl.String(), nullable=False),
                Field.of("timers", pl.String(), nullable=False),
                Field.of("error", pl.String()),
                Field.of("held", pl.Int64(), nullable=False),
            ),
            TopicConfig(cleanup="compact"),
        )
        self._add()

    def __repr__(self) -> str:
        return f"<ProcessType {self.name!r} of {self.app.name!r}>"

    @property
    def address(self) -> str:
        """What its commands say of who sent them; the key of the case comes behind."""
        return f"{self.app.name}/{self.name}"

    @property
    def key_type(self) -> pl.DataType:
        """The Polars type of the key."""
        return KeyCodec(self.key_kind).dtype

    def _own(self, what: str, fields: Sequence[Field], config: TopicConfig) -> Topic:
        """A topic that only this process writes and reads."""
        name = f"{self.app.name}-{self.name}-{what}"
        return Topic(
            name,
            (RecordSchema.build(record_name(name), list(fields)),),
            key_kind=self.key_kind,
            config=config,
            follows_inputs=True,
        )

    def _add(self) -> None:
        topology = self.app.topology
        envelopes = empty_frame({field.name: field.dtype for field in ENVELOPE}, self.key_type)
        for stream, field in self.inputs.items():
            inward = f"{self.name} <- {stream.base}"
            reader = stream._reader()
            step = Step(
                inward,
                (stream.node,),
                make=self._enveloping(inward, reader, field, envelopes),
                empty=envelopes,
                label=f"by {field}",
            )
            topology.add(step)
            topology.add(Sink(f"{inward} -> repartition", (step,), topic=self.inbox))
        for topic in self.refusals:
            inward = f"{self.name} <- {topic.name}"
            listening = Listening(self.address, envelopes)
            step = Step(
                inward,
                (self.app._source(self.app._register(topic)),),
                make=_always(listening),
                empty=envelopes,
                label="refusals",
            )
            topology.add(step)
            topology.add(Sink(f"{inward} -> repartition", (step,), topic=self.inbox))
        source = topology.add(Source(self.inbox.name, topic=self.inbox))
        state = self.state_topic.name
        react = topology.add(
            Step(
                f"{self.name}.react",
                (source,),
                make=lambda stores: Reacting(self, stores[state]),
                empty=envelopes.clear(),
                stores=(StoreSpec(self.state_topic),),
                meaning=f"process by {self.key_kind}",
                label=f"process {self.name}",
                effect=not self.sends,
            )
        )
        for topic in self.sends:
            hand_on(topology, self.handing(topic), react, topic, "send")

    def _check_refusals(self, where: str) -> None:
        for kind in self.refusal_types:
            if kind not in self.sent_types.values():
                known = ", ".join(self.sent_types) or "none"
                raise DeclarationError(
                    f"expected refusals of commands that it sends to aggregates, got "
                    f"{kind.__name__}",
                    where=where,
                    hint=nearest(kind.__name__, list(self.sent_types)) or f"it sends {known}",
                )

    def handing(self, topic: Topic) -> str:
        """The name of the step that hands on what is sent to a topic."""
        return f"{self.name}.send {topic.name}"

    def _enveloping(
        self, name: str, reader: Any, field: str, empty: pl.DataFrame
    ) -> Callable[[Any], Enveloping]:
        return lambda stores: Enveloping(name, reader, field, self.key_type, empty)


def _always(process: Listening) -> Callable[[Any], Listening]:
    return lambda stores: process


def _declared(app: App, stream: Stream, where: str) -> Topic:
    topic = app.topics.get(stream.base)
    if topic is None or not isinstance(stream.node, Source):
        raise DeclarationError(
            f"expected a topic to send to, got {stream!r}",
            where=where,
            hint="declare it: service.topic('stock-command', ReserveStock | ReleaseStock, key=...)",
        )
    if topic.key is None:
        raise DeclarationError(
            f"topic {topic.name!r} names no key field: what is sent to it would have no key",
            where=where,
            hint="give it key=...",
        )
    return replace(topic)


def _by_name(types: Sequence[type[Event] | None], where: str) -> dict[str, type[Event]]:
    found: dict[str, type[Event]] = {}
    for kind in types:
        assert kind is not None
        if found.setdefault(kind.__name__, kind) is not kind:
            raise DeclarationError(
                f"two classes of events are called {kind.__name__!r}",
                where=where,
                hint="a process tells events by the name of their class",
            )
    return found


def _by_type(topics: Sequence[Topic], where: str) -> dict[type[Event], Topic]:
    found: dict[type[Event], Topic] = {}
    for topic in topics:
        for schema in topic.schemas:
            assert schema.event_type is not None
            if schema.event_type in found:
                raise DeclarationError(
                    f"{schema.name} could be sent to {found[schema.event_type].name!r} and to "
                    f"{topic.name!r}",
                    where=where,
                )
            found[schema.event_type] = topic
    return found
