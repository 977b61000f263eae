"""Deciders: what an aggregate is, as three plain functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import GeneratorType
from typing import Any, Generic, TypeVar

from vagus.errors import DeclarationError
from vagus.events import Event
from vagus.services.refusal import Refused

__all__ = ["Decider"]

State = TypeVar("State")


@dataclass(frozen=True)
class Decider(Generic[State]):
    """How an aggregate decides, and how its state follows from its events.

    `initial` gives the state of one that has no events yet. `decide(command, state)` yields or
    returns events, or raises or returns a `Refused`; it changes nothing. `evolve(state, event)`
    returns the state after an event, and leaves the given one as it is. All three are plain
    functions of their arguments: they may be called again for the same command.

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> class Deposit(vg.Command):
    ...     account: str
    ...     cents: int
    >>> class Deposited(vg.Event):
    ...     account: str
    ...     cents: int
    >>> def decide(command, balance):
    ...     if command.cents <= 0:
    ...         raise vg.Refused("not-positive")
    ...     yield Deposited(account=command.account, cents=command.cents)
    >>> class Balance(BaseModel):
    ...     cents: int = 0
    >>> def evolve(balance, event):
    ...     return Balance(cents=balance.cents + event.cents)
    >>> account = vg.Decider(initial=Balance, decide=decide, evolve=evolve)
    >>> account.events(Deposit(account="a", cents=5), Balance())
    [Deposited(account='a', cents=5)]
    """

    initial: Callable[[], State]
    decide: Callable[[Any, State], Any]
    evolve: Callable[[State, Any], State]

    def __post_init__(self) -> None:
        for name in ("initial", "decide", "evolve"):
            function = getattr(self, name)
            if not callable(function):
                raise DeclarationError(
                    f"expected a function, got {function!r}", where=f"Decider.{name}"
                )
            if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
                raise DeclarationError(
                    "expected a plain function, got an async one",
                    where=f"Decider.{name}",
                    hint="it is to depend on its arguments alone: what it needs from outside "
                    "belongs into the command",
                )

    def events(self, command: Any, state: State) -> list[Event]:
        """The events that come of a command. Raises Refused."""
        decided = self.decide(command, state)
        if type(decided) is GeneratorType:
            events = list(decided)
            for event in events:
                if isinstance(event, Refused):
                    raise event
            return events
        if decided is None:
            return []
        if isinstance(decided, Refused):
            raise decided
        if isinstance(decided, Event) or not isinstance(decided, Iterable):
            # An event can be iterated over, too: over its fields.
            return [decided]
        events = list(decided)
        for event in events:
            if isinstance(event, Refused):
                raise event
        return events

    def after(self, events: Iterable[Any], state: State | None = None) -> State:
        """The state after these events, from `state` or from the beginning."""
        now = self.initial() if state is None else state
        for event in events:
            now = self.evolve(now, event)
        return now
