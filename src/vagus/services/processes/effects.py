"""What a process manager can ask for beside commands: timers, and its own end."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import DeclarationError
from vagus.streams.duration import Duration, duration_ms

if TYPE_CHECKING:
    from vagus.events import Event

__all__ = ["After", "Cancel", "Done"]


@dataclass(frozen=True)
class After:
    """Have `event` come to this process when `delay` has passed, unless it is cancelled.

    A timer survives restarts. `name` tells it from the process's other timers; it is the event's
    class unless given. Setting a timer of a name that is running sets it anew.

    >>> import vagus as vg
    >>> class PaymentTimedOut(vg.Event):
    ...     order_id: str
    >>> vg.After("15m", PaymentTimedOut(order_id="o1")).delay_ms
    900000
    """

    delay: Duration
    event: Event
    name: str = ""

    def __post_init__(self) -> None:
        if self.delay_ms < 0:
            raise DeclarationError(f"expected a delay of 0 or more, got {self.delay!r}")
        if not self.name:
            object.__setattr__(self, "name", type(self.event).__name__)

    @property
    def delay_ms(self) -> int:
        """The delay in milliseconds."""
        return duration_ms(self.delay)


@dataclass(frozen=True)
class Cancel:
    """Stop the timer of this name, or of this class of events. One that isn't running is no error.

    >>> import vagus as vg
    >>> vg.Cancel("PaymentTimedOut").name
    'PaymentTimedOut'
    """

    timer: str | type[Event]

    @property
    def name(self) -> str:
        """The timer's name."""
        return self.timer.__name__ if inspect.isclass(self.timer) else str(self.timer)


@dataclass(frozen=True)
class Done:
    """The process is over: its state and its timers go. A later event of its key begins another.

    >>> import vagus as vg
    >>> vg.Done()
    Done()
    """
