"""Declaring process managers."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from vagus.errors import DeclarationError
from vagus.events import Event
from vagus.services.processes.process import Contacts, ProcessType

if TYPE_CHECKING:
    from vagus.streams import App, Stream

__all__ = ["ProcessDeclarations"]


class ProcessDeclarations:
    """What gives an application process managers."""

    def process(
        self,
        name: str,
        state: Callable[[], Any],
        *,
        on: Mapping[Stream, str],
        react: Callable[[Any, Any], Any],
        sends: Sequence[Stream] = (),
        timers: Any = (),
        refusals: Any = (),
    ) -> ProcessType:
        """Declare a process manager: a state for each case, and reactions to events.

        `on` are the topics that it hears, each with the field that says which case an event
        belongs to; events without it are passed over. A case begins with the first event that
        changes its state or sets a timer. `react(event, state)` may change the state, and yields
        or returns what is to be done: commands (or other events) of the topics that `sends`
        names, `vg.After` to have an event of one of the classes `timers` come later, `vg.Cancel`
        to stop that, `vg.Done` at the end. State, timers and what is sent move in one commit with
        the position in the topics. `state` is a pydantic model or a dataclass with a default for
        each field.

        `refusals` are classes of commands: where the service that takes one refuses it, `react`
        is given a `vg.Refusal`. That of another command is an event that `react` fails on.

        An event that `react` fails on becomes a dead letter. Later events of the same case wait
        among the dead letters, too, and replaying them all goes on with it.

        >>> import vagus as vg
        >>> from pydantic import BaseModel
        >>> class Placed(vg.Event):
        ...     order_id: str
        >>> class Remind(vg.Command):
        ...     order_id: str
        >>> class Waited(vg.Event):
        ...     order_id: str
        >>> class Reminder(BaseModel):
        ...     sent: int = 0
        >>> def react(event, state):
        ...     if isinstance(event, Placed):
        ...         yield vg.After("1h", Waited(order_id=event.order_id))
        ...     else:
        ...         state.sent += 1
        ...         yield Remind(order_id=event.order_id)
        >>> service = vg.Service("reminders")
        >>> placed = service.topic("placed", Placed, key="order_id")
        >>> remind = service.topic("remind", Remind, key="order_id")
        >>> _ = service.process(
        ...     "reminder",
        ...     Reminder,
        ...     on={placed: "order_id"},
        ...     react=react,
        ...     sends=[remind],
        ...     timers=Waited,
        ... )
        >>> with vg.testing.Harness(service) as h:
        ...     h.send(placed, Placed(order_id="o1"))
        ...     h.advance("1h")
        ...     h.read(remind)["order_id"].to_list()
        ['o1']
        """
        app = cast("App", self)
        contacts = Contacts(
            on,
            sends,
            _classes(timers, f"timers of process {name!r}"),
            _classes(refusals, f"refusals of process {name!r}"),
        )
        made = ProcessType(app, name, state, react, contacts)
        self.__dict__.setdefault("_processes", {})[name] = made
        return made

    @property
    def processes(self) -> dict[str, ProcessType]:
        """The declared process managers, by name."""
        return dict(self.__dict__.get("_processes", {}))


def _classes(given: Any, where: str) -> tuple[type[Event], ...]:
    """The classes of `A`, `A | B`, or a sequence."""
    union = isinstance(given, types.UnionType) or typing.get_origin(given) is typing.Union
    if union:
        found = typing.get_args(given)
    else:
        found = tuple(given) if isinstance(given, (list, tuple)) else (given,)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, Event)):
            raise DeclarationError(f"expected classes of events, got {one!r}", where=where)
    return found
