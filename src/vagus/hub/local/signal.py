"""Waiting for somebody, in this process or in another one, to commit.

In one process a commit wakes those who wait for what it wrote, and nobody else. For the other
processes one of the waiters sleeps on SQLite's log file, and looks at its counter of changes, on
behalf of all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Set
from typing import TYPE_CHECKING

from vagus.hub.local.watch import LOOK_S, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.hub.local.storage import Storage
    from vagus.hub.records import TopicPartition

# A commit becomes visible some time after the log is written (a sync lies between), which nobody
# tells of; and where something has just happened, more is likely to.
_LOOK_BUSY_S = 0.004
_BUSY_FOR_S = 0.1
_LOOK_AGAIN_S = 0.5  # for a commit that took longer than that


class _Waiter:
    """Somebody who waits for commits to some partitions."""

    __slots__ = ("partitions", "wake")

    def __init__(self, partitions: Set[TopicPartition], lock: threading.Lock) -> None:
        self.partitions = partitions
        self.wake = threading.Condition(lock)


class Signal:
    """A counter of commits that can be waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone = threading.Condition(self._lock)  # told when nobody polls any more
        self._waiters: list[_Waiter] = []
        self._count = 0
        self._general = 0  # the last commit that concerned everybody
        self._latest: dict[TopicPartition, int] = {}  # the last one that wrote to each partition
        self._poller: _Waiter | None = None
        self._storage: Storage | None = None
        self._version: int | None = None
        self._busy_until = 0.0
        self._watch: Watch | None = None

    def watch(self, storage: Storage) -> None:
        """Also wait for the commits of other processes."""
        self._storage = storage

    def token(self) -> int:
        """Take it before looking, give it to `wait` if there was nothing."""
        return self._count

    def notify(self, partitions: Collection[TopicPartition] | None = None) -> None:
        """There was a commit to these partitions; with None, everybody is to look."""
        with self._lock:
            self._tell(partitions)

    def _tell(self, partitions: Collection[TopicPartition] | None) -> None:
        self._count += 1
        if partitions is None:
            self._general = self._count
        else:
            self._latest.update(dict.fromkeys(partitions, self._count))
        for waiter in self._waiters:
            if partitions is not None and waiter.partitions.isdisjoint(partitions):
                continue
            if waiter is not self._poller:
                waiter.wake.notify()
            elif self._watch is not None:
                self._watch.wake()

    def _is_new(self, token: int, partitions: Set[TopicPartition]) -> bool:
        """Whether there was a commit to one of these partitions since `token`."""
        if self._count == token:
            return False
        latest = self._latest
        return self._general > token or any(latest.get(one, 0) > token for one in partitions)

    def wait(
        self,
        token: int,
        timeout_s: float,
        partitions: Set[TopicPartition],
        woken: Callable[[], bool],
    ) -> None:
        """Until there was a commit to these since `token`, or `woken`, or the time is over."""
        deadline = time.monotonic() + timeout_s
        first = True

        def over() -> bool:
            return self._is_new(token, partitions) or woken()

        with self._lock:
            waiter = _Waiter(partitions, self._lock)
            self._waiters.append(waiter)
            try:
                while not over():
                    now = time.monotonic()
                    left = deadline - now
                    if left <= 0:
                        return
                    if self._storage is None or self._poller is not None:
                        waiter.wake.wait(left)
                        continue
                    self._poller = waiter
                    # At first it looks: who was told of the last write may have gone too early.
                    try:
                        changed = self._slept(
                            0.0 if first else left, over, busy=now < self._busy_until
                        )
                    finally:
                        first = False
                        self._poller = None
                        self._gone.notify_all()
                    if changed:
                        self._tell(None)
            finally:
                self._waiters.remove(waiter)
                if self._waiters and self._poller is None:  # somebody else has to poll now
                    self._waiters[0].wake.notify()

    def _slept(self, left_s: float, over: Callable[[], bool], *, busy: bool) -> bool:
        """Sleep on the log; whether another process has committed. Lets go of the lock meanwhile.

        The lock of those who write, which the look at the counter takes, comes before ours. Who is
        called to what this process wrote doesn't wait for it.
        """
        storage = self._storage
        assert storage is not None
        if self._watch is None:
            self._watch = Watch(storage.path + "-wal")
        watch = self._watch
        again_s = _LOOK_AGAIN_S if watch.tells else LOOK_S
        self._lock.release()
        try:
            pause_s = min(left_s, _LOOK_BUSY_S if busy else again_s)
            written = watch.sleep(pause_s, through_writes=busy)
            version = None if over() else storage.version()
        finally:
            self._lock.acquire()
        changed = version is not None and version != self._version
        if version is not None:
            self._version = version
        if written or changed:
            self._busy_until = time.monotonic() + _BUSY_FOR_S
        return changed

    def close(self) -> None:
        """Wake everybody, for good."""
        with self._lock:
            self._storage = None
            self._tell(None)
            if self._watch is not None:
                while self._poller is not None:  # it sleeps on what is about to be closed
                    self._watch.wake()
                    self._gone.wait(_LOOK_BUSY_S)
                self._watch.close()
                self._watch = None
