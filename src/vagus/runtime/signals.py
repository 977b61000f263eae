"""Signals of the operating system, heard for a time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["STOP_SIGNALS", "heard"]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heard(
    hear: Callable[[signal.Signals], None], numbers: Sequence[signal.Signals] = STOP_SIGNALS
) -> Iterator[None]:
    """Have these signals reach `hear`, where this is the main thread; elsewhere they are not ours.

    What `hear` raises is raised in the middle of whatever is done then.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda got, _: hear(signal.Signals(got)))
        for number in numbers
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
