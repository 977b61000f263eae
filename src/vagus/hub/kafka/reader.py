"""Reading partitions of a cluster."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Message
from confluent_kafka import TopicPartition as Place

from vagus.errors import HubError, UnknownTopic
from vagus.hub import rules
from vagus.hub.contract import Reader
from vagus.hub.garbage import without_collector
from vagus.hub.kafka import convert, errors
from vagus.hub.records import FetchedRecords, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from confluent_kafka import Consumer, KafkaError

    from vagus.hub.kafka.hub import KafkaHub

SLICE_S = 0.05  # how soon a wait hears of `wakeup`
_LATE_S = 0.02
_CHUNK = 10_000
_AHEAD_RECORDS, _AHEAD_BYTES = 500, 1 << 20
_NO_GROUP = "vagus-reader"  # the client wants a name even for what is in no group


class KafkaReader(Reader):
    """A reader of a cluster.

    What the client hands out is kept in columns until it is asked for: partitions then take turns,
    which the client's own queue doesn't see to.
    """

    def __init__(
        self, hub: KafkaHub, consumer: Consumer, positions: Mapping[TopicPartition, int]
    ) -> None:
        self._hub = hub
        self._consumer = consumer
        self._positions = {TopicPartition(*tp): int(at) for tp, at in positions.items()}
        self._ends = dict(self._positions)
        self._unseen = set(self._positions)  # partitions whose end nobody has asked for yet
        self._paused: set[TopicPartition] = set()
        self._held: dict[TopicPartition, deque[FetchedRecords]] = {}
        self._held_count = 0
        self._failed: dict[TopicPartition, HubError] = {}
        self._turn = 0
        self._record_bytes = 1024
        self._woken = False
        self._moved = False  # whether a position has passed a marker, or what is gone, at an end
        self._closed = False
        self._lock = threading.RLock()

    @classmethod
    def of(cls, hub: KafkaHub, positions: Mapping[TopicPartition, int]) -> KafkaReader:
        """A reader in no group."""
        made = cls(hub, hub.clients.consumer({"group.id": _NO_GROUP}), positions)
        made._consumer.assign([Place(*tp, at) for tp, at in made._positions.items()])
        return made

    def read(
        self, *, max_records: int = 65_536, max_bytes: int = 8 << 20, wait_s: float = 0.0
    ) -> list[FetchedRecords]:
        rules.check_bounds(max_records, max_bytes)
        deadline = time.monotonic() + wait_s
        while True:
            with self._lock:
                self._check_open()
                self._prepare()
                left = deadline - time.monotonic()
                self._fetch(max_records, max_bytes, max(0.0, min(left, self._patience())))
                self._look_for_failures()
                got = self._take(max_records, max_bytes)
                if got or self._woken or self._moved or left <= 0:
                    self._woken = self._moved = False
                    return got

    def positions(self) -> dict[TopicPartition, int]:
        return dict(self._positions)

    def ends(self) -> dict[TopicPartition, int]:
        return {tp: self._ends[tp] for tp in self._positions}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        rules.check_known(partition, self._positions)
        rules.check_offset(partition, offset)
        with self._lock:
            self._forget(partition)
            self._positions[partition] = offset
            place = Place(*partition, offset)
            try:
                self._consumer.seek(place)
            except KafkaException:  # it hasn't begun to read there yet
                self._consumer.incremental_unassign([place])
                self._consumer.incremental_assign([place])
                if partition in self._paused:
                    self._consumer.pause([place])

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            added = {TopicPartition(*tp) for tp in partitions} - self._paused
            for partition in added:
                rules.check_known(partition, self._positions)
            if added:
                self._consumer.pause([Place(*tp) for tp in added])
                self._paused |= added

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        with self._lock:
            again = {TopicPartition(*tp) for tp in partitions} & self._paused
            if again:
                self._consumer.resume([Place(*tp) for tp in again])
                self._paused -= again

    def wakeup(self) -> None:
        self._woken = True

    def close(self) -> None:
        self._woken = True
        with self._lock:
            if not self._closed:
                self._closed = True
                self._held.clear()
                self._consumer.close()

    def _prepare(self) -> None:
        """What is to be done before each look for records."""
        if self._unseen:
            self._ends.update(self._hub.admin.offsets(self._unseen, "latest"))
            self._unseen.clear()

    def _patience(self) -> float:
        """How long to wait for a message: a little, too, for those who are late to take turns."""
        if self._woken:
            return 0.0
        if not any(tp not in self._paused for tp in self._held):
            return SLICE_S
        late = any(
            at < self._ends[tp] and tp not in self._held and tp not in self._paused
            for tp, at in self._positions.items()
        )
        return _LATE_S if late else 0.0

    def _look_for_failures(self) -> None:
        for partition, failure in self._failed.items():
            if partition not in self._paused and partition not in self._held:
                raise failure

    def _check_open(self) -> None:
        self._hub.check_usable()
        rules.check_reading(self._hub.url, closed=self._closed)

    def _forget(self, partition: TopicPartition) -> None:
        """Drop what was fetched of a partition."""
        for part in self._held.pop(partition, ()):
            self._held_count -= len(part)
        self._failed.pop(partition, None)

    # From the client

    def _fetch(self, max_records: int, max_bytes: int, wait_s: float) -> None:
        """Take what the client has, up to what is asked for."""
        # Small reads take from what larger ones would have fetched, so that partitions take turns.
        most = min(max_records, max_bytes // self._record_bytes)
        wanted = max(most, min(_AHEAD_RECORDS, _AHEAD_BYTES // self._record_bytes), 1)
        only = next(iter(self._positions)) if len(self._positions) == 1 else None
        with without_collector():  # it would walk every message while they are made
            # Errors of the group, unlike those of partitions, are told to `poll` only.
            first = self._consumer.poll(wait_s)
            messages = [] if first is None else [first]
            count = min(_CHUNK, wanted - self._held_count) - 1
            if messages and count > 0:
                messages += self._consumer.consume(count, 0)
            while messages:
                # A chunk becomes columns, and its messages go, while they are in the cache.
                self._keep(messages, only)
                count = min(_CHUNK, wanted - self._held_count)
                messages = self._consumer.consume(count, 0) if count > 0 else []
            del first, messages
        for partition in self._positions:
            self._see_end(partition)

    def _keep(self, messages: list[Message], only: TopicPartition | None = None) -> None:
        """Hold messages; `only` was the only partition before the client was asked for them."""
        if [*self._positions] != [only]:
            only = None
        if only is not None and not any(map(Message.error, messages)):
            self._hold(convert.columns(only, messages))  # what each is of need not be looked at
            return
        for partition, of in convert.group(messages).items():
            if partition not in self._positions:
                for error in (message.error() for message in of):
                    if error is not None and not partition.topic:
                        self._fail_all(error)
                continue
            last: list[tuple[KafkaError, Message]] = []
            while of and (error := of[-1].error()) is not None:
                last.append((error, of.pop()))
            if any(map(Message.error, of)):
                self._keep_around_errors(partition, of)
            elif of:
                self._hold(convert.columns(partition, of))
            # Behind the records: an end takes the last of them past the markers that follow it.
            for error, message in reversed(last):
                self._fail(partition, error, message)

    def _keep_around_errors(self, partition: TopicPartition, messages: list[Message]) -> None:
        fine: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                fine.append(message)
                continue
            if fine:
                self._hold(convert.columns(partition, fine))
                fine = []
            self._fail(partition, error, message)
        if fine:
            self._hold(convert.columns(partition, fine))

    def _hold(self, records: FetchedRecords) -> None:
        self._held.setdefault(records.partition, deque()).append(records)
        self._held_count += len(records)
        self._record_bytes = max(1, records.nbytes // len(records))

    def _fail(self, partition: TopicPartition, error: KafkaError, message: Message) -> None:
        """Hear what the client says of a partition: that its end is reached, or an error."""
        name = error.name()
        if name == "_PARTITION_EOF":
            self._reach(partition, message.offset() or 0)
        elif name in errors.UNKNOWN:
            if partition.topic not in self._hub.admin.topics():
                self._failed[partition] = UnknownTopic(partition.topic, hub=self._hub.url)
        elif error.fatal() or not error.retriable():
            place = f"{partition.topic}[{partition.partition}]"
            self._failed[partition] = errors.translate(error, place)

    def _fail_all(self, error: KafkaError) -> None:
        """Hear an error that is of no partition. What can be mended the client mends itself."""

    def _reach(self, partition: TopicPartition, offset: int) -> None:
        """All up to an offset has been read: behind the last record there may be a marker."""
        held = self._held.get(partition)
        if held:
            held[-1] = replace(held[-1], next_offset=offset)
        else:
            self._moved = self._moved or offset > self._positions[partition]
            self._positions[partition] = max(offset, self._positions[partition])
        self._ends[partition] = offset

    def _see_end(self, partition: TopicPartition) -> None:
        """Take the end that came with the last answer, unless all that is committed was read.

        What an open transaction has written counts as being there only until the end is reached.
        """
        _, high = self._consumer.get_watermark_offsets(Place(*partition), cached=True)
        held = self._held.get(partition)
        fetched = held[-1].next_offset if held else self._positions[partition]
        if fetched != self._ends[partition] and high > self._ends[partition]:
            self._ends[partition] = high

    # To the caller

    def _take(self, max_records: int, max_bytes: int) -> list[FetchedRecords]:
        order = deque(tp for tp in self._held if tp not in self._paused)
        order.rotate(-self._turn)
        self._turn += 1
        got: list[FetchedRecords] = []
        while order and max_records > 0 and max_bytes > 0:
            share = -(-max_records // len(order)), -(-max_bytes // len(order))
            records = self._take_one(order.popleft(), *share)
            got.append(records)
            max_records -= len(records)
            max_bytes -= records.nbytes
            self._positions[records.partition] = records.next_offset
        return got

    def _take_one(
        self, partition: TopicPartition, max_records: int, max_bytes: int
    ) -> FetchedRecords:
        held = self._held[partition]
        parts: list[FetchedRecords] = []
        while held and max_records > 0 and max_bytes > 0:
            part = held.popleft()
            fits = min(max_records, max(1, max_bytes * len(part) // max(1, part.nbytes)))
            if fits < len(part):
                held.appendleft(part.slice(fits, len(part)))
                part = replace(part.slice(0, fits), next_offset=int(part.offsets[fits - 1]) + 1)
            parts.append(part)
            max_records -= len(part)
            max_bytes -= part.nbytes
        if not held:
            del self._held[partition]
        whole = FetchedRecords.joined(parts)
        self._held_count -= len(whole)
        return whole
