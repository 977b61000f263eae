"""Hearing of commits: threads and coroutines that wait for a view to move on."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

__all__ = ["Pulse"]


class Pulse:
    """A count of commits that can be waited for."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._count = 0
        self._waiting = 0
        self._futures: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @property
    def count(self) -> int:
        """Take it before looking, give it to `wait` if there was nothing."""
        return self._count

    @property
    def waited_for(self) -> bool:
        """Whether anybody waits."""
        return self._waiting > 0

    def beat(self) -> None:
        """There was a commit."""
        with self._condition:
            self._count += 1
            self._condition.notify_all()
            futures, self._futures = self._futures, []
        for loop, future in futures:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(_done, future)

    def wait(self, seen: int, timeout_s: float) -> None:
        """Until there was a commit since `seen`, or the time is over."""
        deadline = time.monotonic() + timeout_s
        with self._condition:
            self._waiting += 1
            try:
                while self._count == seen and (left := deadline - time.monotonic()) > 0:
                    self._condition.wait(left)
            finally:
                self._waiting -= 1

    async def wait_async(self, seen: int, timeout_s: float) -> None:
        """Like `wait`, in an event loop."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._condition:
            if self._count != seen:
                return
            self._waiting += 1
            self._futures.append((loop, future))
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(future, timeout_s)
        finally:
            with self._condition:
                self._waiting -= 1
                self._futures = [entry for entry in self._futures if entry[1] is not future]


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
