"""The exchange: how commands leave a process, and how their replies find whoever waits.

All senders of a process share one for each hub. One thread appends what waits, all of it in one
append; another reads the replies. So a hundred callers cost little more than one. Whoever decides
a command in the process that sent it tells the exchange at once, without the hub.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from vagus.errors import EncodeError, HubError, OffsetOutOfRange, TopicExists, VagusError
from vagus.hub import TopicPartition
from vagus.services.envelope import REPLIES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vagus.events import Event
    from vagus.hub import Hub, Records
    from vagus.services.outcome import Accepted
    from vagus.services.writer import CommandWriter, Headers

__all__ = ["Exchange", "Overloaded", "Parcel", "home_of"]

WAITING_MAX = 10_000
"""So many commands of a process may be on their way; one more is refused."""

log = logging.getLogger("vagus")


class Overloaded(VagusError):
    """Too many commands of this process wait already: send it again later."""


@dataclass(slots=True, eq=False)
class Parcel:
    """A command on its way, and the future of its answer (or that it is safe, if `synced`)."""

    writer: CommandWriter
    command: Event
    headers: Headers
    now_ms: int
    future: Any  # of asyncio, if there is a loop, else of a thread
    loop: asyncio.AbstractEventLoop | None
    request: bytes
    synced: bool  # its sender waits until it is safe, and for no reply
    due_s: float  # by the loop's clock: past it, its future is told of a TimeoutError


_Settled = tuple[Parcel, Any, BaseException | None]


class Exchange:
    """Sends commands to a hub, and hands out the replies."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.partition = random.randrange(REPLIES.config.partitions)
        self._prefix = uuid4().hex
        self._numbers = itertools.count()
        self._users = 0
        self._lock = threading.Condition()
        self._queue: list[Parcel] = []
        self._gathered: dict[asyncio.AbstractEventLoop, list[Parcel]] = {}
        self._waiting: dict[bytes, Parcel] = {}
        self._alarms: dict[asyncio.AbstractEventLoop, asyncio.TimerHandle] = {}
        self._closing = False
        with suppress(TopicExists):
            hub.create_topic(REPLIES.name, REPLIES.config)
        self._place = TopicPartition(REPLIES.name, self.partition)
        self._reader = hub.reader(hub.offsets([self._place], "latest"))
        self._threads = [
            threading.Thread(target=run, name=f"vagus-{what}", daemon=True)
            for what, run in (("commands", self._send), ("replies", self._listen))
        ]
        for thread in self._threads:
            thread.start()
        _homes[self._prefix.encode()] = self

    @staticmethod
    def of(hub: Hub) -> Exchange:
        """The exchange of a hub in this process; each `of` is to be followed by a `leave`."""
        with _mutex:
            found = _open.get(hub)
            if found is None:
                found = _open[hub] = Exchange(hub)
            found._users += 1
            return found

    def leave(self) -> None:
        """Have no more use for it; the last one to say so closes it."""
        with _mutex:
            self._users -= 1
            if self._users:
                return
            _open.pop(self._hub, None)
            _homes.pop(self._prefix.encode(), None)
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._reader.wakeup()
        for thread in self._threads:
            thread.join()
        self._reader.close()
        self._fail_all(HubError("expected an answer, but the client was closed"))

    def request(self) -> str:
        """An id for a command, which its reply will name."""
        return f"{self._prefix}-{next(self._numbers)}"

    def post(self, parcel: Parcel) -> None:
        """Send a command. Raises Overloaded if too many are on their way."""
        if max(len(self._waiting), len(self._queue)) >= WAITING_MAX:
            raise Overloaded(
                f"expected less than {WAITING_MAX} commands on their way, got more",
                hint="wait for some of their outcomes first",
            )
        self._waiting[parcel.request] = parcel
        if parcel.loop is None:
            with self._lock:
                self._queue.append(parcel)
                self._lock.notify()
            return
        self._wake(parcel.loop, parcel.due_s)
        # All that is sent in one round of the loop goes out together.
        gathered = self._gathered.get(parcel.loop)
        if gathered is None:
            self._gathered[parcel.loop] = [parcel]
            parcel.loop.call_soon(self._flush, parcel.loop)
        else:
            gathered.append(parcel)

    def forget(self, parcel: Parcel) -> None:
        """Wait no longer for a reply. Called in the loop's own thread, if there is one."""
        self._waiting.pop(parcel.request, None)
        if not self._waiting and parcel.loop in self._alarms:
            self._alarms.pop(parcel.loop).cancel()

    def deliver(self, replies: Iterable[tuple[bytes, Accepted | str | bytes]]) -> None:
        """Hand out replies, each with the request that it is to."""
        settled: list[_Settled] = []
        for request, value in replies:
            parcel = self._waiting.pop(request, None)
            if parcel is not None:
                settled.append((parcel, value, None))
        if settled:
            self._settle(settled)

    # One timer for each loop, at the earliest time that somebody has waited for long enough

    def _wake(self, loop: asyncio.AbstractEventLoop, due_s: float) -> None:
        alarm = self._alarms.get(loop)
        if alarm is not None and alarm.when() <= due_s:
            return
        if alarm is None:
            for closed in [other for other in list(self._alarms) if other.is_closed()]:
                self._alarms.pop(closed, None)
        else:
            alarm.cancel()
        self._alarms[loop] = loop.call_at(due_s, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        del self._alarms[loop]
        now_s, later_s = loop.time(), []
        for parcel in list(self._waiting.values()):
            if parcel.loop is not loop or parcel.future.done():
                continue
            if parcel.due_s <= now_s:
                parcel.future.set_exception(TimeoutError())
            else:
                later_s.append(parcel.due_s)
        if later_s:
            self._wake(loop, min(later_s))

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        parcels = self._gathered.pop(loop)
        with self._lock:
            self._queue += parcels
            self._lock.notify()

    # The thread that sends

    def _send(self) -> None:
        while True:
            with self._lock:
                while not self._queue and not self._closing:
                    self._lock.wait()
                parcels, self._queue = self._queue, []
                if not parcels:
                    return
            self._append(parcels)

    def _append(self, parcels: list[Parcel]) -> None:
        try:
            self._hub.append(
                _records(parcels), acks="all" if any(p.synced for p in parcels) else "leader"
            )
        except EncodeError as error:
            if len(parcels) > 1:
                for parcel in parcels:
                    self._append([parcel])
                return
            self._settle([(parcels[0], None, error)])
        except Exception as error:  # noqa: BLE001 - whoever waits is told
            self._settle([(parcel, None, error) for parcel in parcels])
        else:
            self._settle([(parcel, None, None) for parcel in parcels if parcel.synced])

    # The thread that listens

    def _listen(self) -> None:
        while not self._closing:
            try:
                reads = self._reader.read(wait_s=1.0)
            except OffsetOutOfRange:  # nobody here has waited for as long as replies are kept
                self._reader.seek(
                    self._place, self._hub.offsets([self._place], "latest")[self._place]
                )
                continue
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                if not self._closing:
                    log.warning("replies can't be read: %s", error)
                    self._fail_all(error)
                    threading.Event().wait(1.0)
                continue
            for read in reads:
                pairs = zip(read.keys.to_list(), read.values.to_list(), strict=True)
                self.deliver((to, value) for to, value in pairs if to and value is not None)

    def _fail_all(self, error: BaseException) -> None:
        parcels = list(self._waiting.values())
        self._waiting.clear()
        self._settle([(parcel, None, error) for parcel in parcels])

    def _settle(self, settled: list[_Settled]) -> None:
        """Tell whoever waits; all that one loop is told goes there at once."""
        by_loop: dict[asyncio.AbstractEventLoop | None, list[_Settled]] = {}
        for one in settled:
            by_loop.setdefault(one[0].loop, []).append(one)
            if one[2] is not None:
                self.forget(one[0])
        for loop, group in by_loop.items():
            if loop is None:
                _tell(group)
            else:
                with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                    loop.call_soon_threadsafe(_tell, group)


def _tell(settled: list[_Settled]) -> None:
    for parcel, value, error in settled:
        future = parcel.future
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)


def _records(parcels: list[Parcel]) -> list[tuple[TopicPartition, Records]]:
    writers: dict[CommandWriter, list[Parcel]] = {}
    for parcel in parcels:
        writers.setdefault(parcel.writer, []).append(parcel)
    return [
        batch
        for writer, group in writers.items()
        for batch in writer.write(
            [parcel.command for parcel in group],
            [parcel.headers for parcel in group],
            group[0].now_ms,
        )
    ]


def waiter(loop: asyncio.AbstractEventLoop | None) -> Any:
    """A future of a loop, or of a thread."""
    return Future() if loop is None else loop.create_future()


def home_of(request: bytes) -> Exchange | None:
    """The exchange of this process that waits for the reply to a request; None if none does."""
    return _homes.get(request.partition(b"-")[0])


_mutex = threading.Lock()
_open: WeakKeyDictionary[Hub, Exchange] = WeakKeyDictionary()
_homes: dict[bytes, Exchange] = {}  # by how their requests begin

if hasattr(os, "register_at_fork"):  # whoever waits in the parent waits for replies in the hub
    os.register_at_fork(after_in_child=_homes.clear)
