"""How handlers are called: what each call is told, and when none is made."""

from __future__ import annotations

from dataclasses import dataclass

from vagus.errors import DeclarationError, VagusError
from vagus.streams.duration import Duration, duration_ms

__all__ = ["Breaker", "BreakerOpen", "Call"]


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler is told of a call, if it takes a second argument.

    `idempotency_key` is the same each time the same event is handed to the same handler: after a
    crash, in a retry, when its dead letter is replayed. `tries` counts the tries before this one.

    >>> import vagus as vg
    >>> vg.Call("mail/welcome/customer-event/0/17", 0).idempotency_key
    'mail/welcome/customer-event/0/17'
    """

    idempotency_key: str
    tries: int


@dataclass(frozen=True, slots=True)
class Breaker:
    """Stops calling a handler that fails again and again, to let what it calls recover.

    After `failures` failed calls in a row none is made for the time `cool`: events become dead
    letters at once, to be replayed. Then one call is made; if it succeeds all is well again.

    >>> import vagus as vg
    >>> vg.Breaker(failures=3, cool="1m").cool_ms
    60000
    """

    failures: int = 5
    cool: Duration = "30s"

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise DeclarationError(f"expected 1 failure or more, got {self.failures}")
        if self.cool_ms < 1:
            raise DeclarationError(f"expected some time to cool, got {self.cool!r}")

    @property
    def cool_ms(self) -> int:
        """For how long no calls are made, in milliseconds."""
        return duration_ms(self.cool)


class BreakerOpen(VagusError):
    """A handler was not called, since it had failed too often just before."""
