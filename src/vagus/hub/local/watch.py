"""Sleeping until a file is written, by whatever process, or until somebody calls.

Linux tells of writes through inotify, at no cost while there are none. Elsewhere a sleeper gets up
at short intervals to look for himself.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
from contextlib import suppress

_IN_MODIFY = 0x2
_EVENTS_BYTES = 4096

LOOK_S = 0.045
"""How long to sleep at a time where writes are not told of."""


class Watch:
    """Sleeps on one file. One thread sleeps at a time; any may call `wake`."""

    def __init__(self, path: str) -> None:
        self._called, self._call = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._told = _inotify(path)
        self._calls, self._both = select.poll(), select.poll()
        for poll in (self._calls, self._both):
            poll.register(self._called, select.POLLIN)
        if self._told is not None:
            self._both.register(self._told, select.POLLIN)

    @property
    def tells(self) -> bool:
        """Whether the system tells of writes."""
        return self._told is not None

    def sleep(self, timeout_s: float, *, through_writes: bool) -> bool:
        """Sleep for a time at most; whether it was a write, since the last time, that ended it."""
        poll = self._calls if through_writes else self._both
        ready = {fd for fd, _ in poll.poll(max(0.0, timeout_s) * 1000)}
        for fd in ready:
            os.read(fd, _EVENTS_BYTES)
        return self._told in ready

    def wake(self) -> None:
        """Let the sleeper, or the next one, get up at once."""
        with suppress(BlockingIOError):  # it has been called often enough
            os.write(self._call, b".")

    def close(self) -> None:
        """Let go of everything."""
        for fd in (self._called, self._call, self._told):
            if fd is not None:
                os.close(fd)


def _inotify(path: str) -> int | None:
    """A descriptor that can be read when the file has been written; None where there is none."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    fd: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if fd < 0:
        return None
    if libc.inotify_add_watch(fd, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(fd)
        return None
    return fd
