"""What several processes decide together, kept in the hub itself."""

from __future__ import annotations

import random
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from vagus.errors import Fenced, HubError, HubUnavailable, TopicExists
from vagus.hub.contract import TopicConfig
from vagus.hub.reading import read_to
from vagus.hub.records import Records, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vagus.hub.contract import Hub, Transaction

__all__ = ["Entry", "Ledger", "records"]

_TRIES = 200
_UNSURE_S = 8.0  # with commits whose outcome is unknown: who begins says what is wrong in ten
_PATIENCE_S = 3.0  # with a writer that is at it: it takes a fraction of a second

Entry = tuple[bytes, bytes | None]
"""A key and what is now said of it; None takes back what was."""


class Ledger:
    """A small compacted topic of one partition, of which all who write it know all that it says.

    A change begins a transaction of one fixed id, `writer`, which fences whoever else is changing
    the ledger, reads to the end, decides, and commits: one of them at a time succeeds, and none
    decides without knowing what was decided before. `apply` is called with each key and value, in
    their order. Used by one thread at a time. Making one does no I/O.
    """

    def __init__(
        self, hub: Hub, topic: str, writer: str, apply: Callable[[bytes, bytes | None], None]
    ) -> None:
        self.partition = TopicPartition(topic, 0)
        self._hub, self._writer, self._apply = hub, writer, apply
        self._next: int | None = None

    def make(self) -> None:
        """Make the topic if it isn't there."""
        topic = self.partition.topic
        if self._next is None and topic not in self._hub.topics():
            with suppress(TopicExists):  # another process was first
                self._hub.create_topic(topic, TopicConfig(cleanup="compact"))

    def read(self) -> None:
        """Read on to the end. Raises UnknownTopic if nobody has made the topic.

        A writer that keeps it from the end, as one does that died or hangs before its commit, is
        fenced: on Kafka, nobody could read on else until the brokers give it up, a minute later.
        So is a change of one's own that reads: the next try makes it.
        """
        place = self.partition
        if self._next is None:
            self._next = self._hub.offsets([place], "earliest")[place]
        end = self._hub.offsets([place], "latest")
        heard_s = time.monotonic()
        for got, reached in read_to(self._hub, {place: self._next}, end):
            for each in got:
                for key, value in zip(each.keys.to_list(), each.values.to_list(), strict=True):
                    if key is not None:
                        self._apply(key, value)
            now_s = time.monotonic()
            if reached[place] > self._next:
                self._next, heard_s = reached[place], now_s
            elif now_s - heard_s > _PATIENCE_S:
                with suppress(HubError):  # it may only be allowed to read
                    self._hub.begin(self._writer).abort()
                heard_s = now_s

    def change(self, decide: Callable[[], Sequence[Entry]]) -> Sequence[Entry]:
        """Write what `decide` wants, in one step with what it decides it by; what was written.

        `decide` is called when all has been read, and may be called more than once. Raises what it
        raises, and HubUnavailable if other writers never let go, or if it can't be written: a
        commit of which nobody knows what came is looked at, and tried again, for 8 s, whatever
        keeps it from that.
        """
        unsure: list[Sequence[Entry]] = []
        deadline = float("inf")
        for attempt in range(_TRIES):
            if unsure:  # a coordinator that stumbles is given time to get up
                time.sleep(random.uniform(0, min(0.5, 0.05 * 2 ** len(unsure))))
            try:
                self.make()
                with self._transaction() as transaction:
                    self.read()
                    entries = decide()
                    if not entries:
                        return unsure[-1] if unsure else []
                    transaction.append([(self.partition, records(entries))])
                    try:
                        transaction.commit()
                    except HubUnavailable:
                        unsure.append(entries)
                        raise
            except HubUnavailable:
                if not unsure or time.monotonic() >= deadline:
                    raise
                deadline = min(deadline, time.monotonic() + _UNSURE_S)
                continue
            except Fenced:
                # Each waits a while of its own, so that one of those who fence each other is
                # alone for long enough.
                time.sleep(random.uniform(0, min(0.1, 0.002 * 2 ** min(attempt, 6))))
                continue
            self.read()
            return entries
        raise HubUnavailable(
            f"expected to write to {self.partition.topic} within {_TRIES} tries, but others kept "
            "writing",
            where=self._hub.url,
            hint="try again",
        )

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        transaction = self._hub.begin(self._writer)
        try:
            yield transaction
        finally:
            transaction.abort()


def records(entries: Sequence[Entry]) -> Records:
    """The records that say this now."""
    stamps = [int(time.time() * 1000)] * len(entries)
    return Records.of([key for key, _ in entries], [value for _, value in entries], stamps)
