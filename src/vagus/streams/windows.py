"""Windows of event time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vagus.errors import DeclarationError
from vagus.streams.duration import Duration, duration_ms, duration_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Window:
    """Windows [start, start + size), one beginning every `advance_ms`, counted from 1970.

    A record that comes after stream time has passed a window's end by `grace_ms` is late for it.

    >>> Window(size_ms=60_000, advance_ms=60_000)
    Window(size_ms=60000, advance_ms=60000, grace_ms=0, idle_ms=None)
    """

    size_ms: int
    advance_ms: int
    grace_ms: int = 0
    idle_ms: int | None = None

    def __str__(self) -> str:
        if self.size_ms == self.advance_ms:
            return f"tumbling-{duration_text(self.size_ms)}"
        return f"hopping-{duration_text(self.size_ms)}-{duration_text(self.advance_ms)}"

    def of(self, times: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The windows that hold each time: rows of `times`, and starts, ascending for each row.

        No window starts before 1970, as in Kafka Streams.
        """
        latest = times - times % self.advance_ms
        if self.size_ms == self.advance_ms:
            return np.arange(len(times)), latest
        count = -(-self.size_ms // self.advance_ms)
        steps = np.arange(count - 1, -1, -1, dtype=np.int64) * self.advance_ms
        starts = (latest[:, None] - steps[None, :]).ravel()
        rows = np.repeat(np.arange(len(times)), count)
        inside = (starts >= 0) & (starts + self.size_ms > times[rows])
        return rows[inside], starts[inside]


def tumbling(size: Duration, *, grace: Duration = "0s", idle: Duration | None = None) -> Window:
    """Windows of one size, one after another.

    `grace` is how long after a window's end late records are still taken in, by event time.
    `idle` closes windows also when nothing has come for that long, by the wall clock: for a
    stream that may fall silent. Without it a window closes only when a later event comes.

    >>> str(tumbling("1h"))
    'tumbling-1h'
    """
    return hopping(size, every=size, grace=grace, idle=idle)


def hopping(
    size: Duration, *, every: Duration, grace: Duration = "0s", idle: Duration | None = None
) -> Window:
    """Windows of one size that begin at a shorter distance, so that they overlap.

    `grace` and `idle` are as for `tumbling`.

    >>> str(hopping("3m", every="1m"))
    'hopping-3m-1m'
    """
    size_ms, advance_ms = duration_ms(size), duration_ms(every)
    if not 0 < advance_ms <= size_ms:
        raise DeclarationError(
            f"expected 0 < every <= size, got every={every!r} and size={size!r}",
            hint="windows that begin at a longer distance than their size would leave gaps",
        )
    idle_ms = None if idle is None else duration_ms(idle)
    return Window(size_ms, advance_ms, duration_ms(grace), idle_ms)
