"""Group commit: writers that come at the same time share one transaction and one sync.

Whoever gets the write lock commits all that is queued, its own work and that of the others who
wait for the lock; they find their work done. So no thread of its own is needed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from vagus.errors import HubError, VagusError
from vagus.hub.local.storage import PAGE_BYTES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Set

    from vagus.hub.local.log import Newest
    from vagus.hub.local.signal import Signal
    from vagus.hub.local.storage import Storage
    from vagus.hub.local.tail import Tail
    from vagus.hub.records import TopicPartition

T = TypeVar("T")

QUEUED_BYTES_MAX = 64 << 20
"""Past this much work that nobody waits for, the next one to queue some commits it."""

_PAGES = 6  # that a commit writes to SQLite's log whole, however little it changes in them

_log = logging.getLogger("vagus.hub")


class _Work(Generic[T]):
    """One writer's part of a transaction.

    `write` must check all that can be refused before it changes anything: a refusal leaves the
    transaction, with the others' work in it, as it was.
    """

    __slots__ = (
        "done",
        "error",
        "nbytes",
        "newest",
        "result",
        "sync",
        "touches",
        "waited",
        "write",
    )

    def __init__(
        self,
        write: Callable[[sqlite3.Connection], T],
        sync: bool,
        waited: bool,
        nbytes: int,
        touches: Set[TopicPartition] | None,
        newest: Newest | None = None,
    ) -> None:
        self.write = write
        self.sync = sync
        self.waited = waited
        self.nbytes = nbytes
        self.touches = touches
        self.newest: Newest = {} if newest is None else newest
        self.done = False
        self.error: BaseException | None = None
        self.result: T | None = None


class Committer:
    """The queue of writers of one process."""

    def __init__(self, storage: Storage, signal: Signal, tail: Tail) -> None:
        self._storage = storage
        self._signal = signal
        self._tail = tail
        self._mutex = threading.Lock()
        self._queue: deque[_Work[object]] = deque()
        self._queued_bytes = 0
        self.unchecked_bytes = 0

    def submit(
        self,
        write: Callable[[sqlite3.Connection], T],
        *,
        sync: bool = True,
        nbytes: int = 0,
        touches: Set[TopicPartition] | None = None,
        newest: Newest | None = None,
    ) -> T:
        """Run `write` in a transaction, return when it is committed.

        It appends to the partitions that it `touches` (which `write` may add to), and does nothing
        else that somebody waits for; with None, everybody is to look. `newest` is where it puts
        their last batches.
        """
        work = _Work(write, sync, True, nbytes, touches, newest)
        self._enqueue(work)
        with self._storage.write_lock:
            if not work.done:
                self._commit()
        if work.error is not None:
            raise work.error
        return work.result  # type: ignore[return-value]

    def post(
        self,
        write: Callable[[sqlite3.Connection], object],
        nbytes: int,
        touches: Set[TopicPartition],
    ) -> None:
        """Have `write` run in a transaction before long; failures are logged."""
        self._enqueue(_Work(write, False, False, nbytes, touches))
        if self._queued_bytes > QUEUED_BYTES_MAX:
            self.flush()

    def flush(self) -> None:
        """Commit what is queued."""
        if not self._queue:
            return
        with self._storage.write_lock:
            if self._queue:
                self._commit()

    def _enqueue(self, work: _Work[T]) -> None:
        with self._mutex:
            self._queue.append(work)  # type: ignore[arg-type]
            self._queued_bytes += work.nbytes

    def _commit(self) -> None:
        with self._mutex:
            group = list(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
        committed = False
        failure: BaseException | None = None
        try:
            with self._storage.writing(sync=any(work.sync for work in group)) as connection:
                for work in group:
                    try:
                        work.result = work.write(connection)
                    except VagusError as error:
                        work.error = error
            committed = True
        except VagusError as error:
            failure = error
        except BaseException:
            # An interrupt in this thread: the others must hear that their work wasn't done.
            failure = HubError(
                "expected to commit, got interrupted",
                where=self._storage.path,
                hint="nothing of it was written; try again",
            )
            raise
        finally:
            for work in group:
                if not committed and work.error is None:
                    work.error = failure
                work.done = True
                if work.error is not None and not work.waited:
                    _log.warning("an append with acks='none' was lost: %s", work.error)
        if committed:
            self.unchecked_bytes += _PAGES * PAGE_BYTES + sum(work.nbytes for work in group)
            for work in group:
                if work.error is None:
                    self._tail.keep(work.newest)
            self._notify(group)

    def _notify(self, group: list[_Work[object]]) -> None:
        touched: set[TopicPartition] = set()
        for work in group:
            if work.touches is None:
                self._signal.notify()
                return
            touched |= work.touches
        if touched:
            self._signal.notify(touched)
