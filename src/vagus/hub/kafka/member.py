"""A member of one of Kafka's consumer groups."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka import TopicPartition as Place

from vagus.errors import Fenced, HubError, HubUnavailable
from vagus.hub import rules
from vagus.hub.contract import Member
from vagus.hub.kafka import errors
from vagus.hub.kafka.clients import log
from vagus.hub.kafka.groups import only_owned
from vagus.hub.kafka.reader import SLICE_S, KafkaReader
from vagus.hub.kafka.transaction import KafkaTransaction, Writer
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from confluent_kafka import Consumer, KafkaError

    from vagus.hub.contract import MemberOptions, Transaction
    from vagus.hub.kafka.hub import KafkaHub

JOIN_S = 9.0
POLL_INTERVAL_MAX_S = 300.0
"""A member that doesn't read for so long is taken to hang: it leaves the group."""

_STALE_S = 10.0
_INSIST_S = 25.0
_UNSUPPORTED = "API version not supported"
_FENCING_S = 10.0


class OldGroups(Exception):
    """The brokers don't know the newer protocol of groups (KIP-848)."""


class KafkaMember(KafkaReader, Member):
    """A member of a consumer group of a cluster.

    The client's thread keeps the membership up; what changes reaches us inside `consume`. Once the
    membership is lost it stays lost: the client would join anew by itself, but would then commit
    for partitions that it holds no longer.
    """

    def __init__(
        self, hub: KafkaHub, group: str, topics: Iterable[str], options: MemberOptions
    ) -> None:
        self.group = group
        self._options = options
        self._modern = hub.modern_groups
        self._generation = 0
        self._lost: str | None = None
        self._raised: BaseException | None = None
        self._told: set[TopicPartition] = set()
        self._news: list[TopicPartition] = []
        self._committed: dict[TopicPartition, int] = {}
        self._writer: Writer | None = None
        self._transaction: KafkaTransaction | None = None
        super().__init__(hub, self._make(hub, group, options), {})
        self._consumer.subscribe(
            sorted(topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _make(self, hub: KafkaHub, group: str, options: MemberOptions) -> Consumer:
        own: dict[str, object] = {
            "group.id": group,
            "max.poll.interval.ms": str(
                int(max(POLL_INTERVAL_MAX_S, options.session_timeout_s) * 1000)
            ),
        }
        if self._modern:
            own |= {"group.protocol": "consumer", "group.remote.assignor": "range"}
        else:
            own |= {
                "group.protocol": "classic",
                "partition.assignment.strategy": "range",
                "session.timeout.ms": str(int(options.session_timeout_s * 1000)),
                # Here it is the members who notice that partitions were added.
                "topic.metadata.refresh.interval.ms": "5000",
            }
        return hub.clients.consumer(own, options.client_id)

    def join(self) -> None:
        """Wait until the group knows of this member. Raises what is in its way."""
        deadline = time.monotonic() + JOIN_S
        while not self._joined():
            with self._lock:
                self._fetch(1, 1, SLICE_S)
            if self._raised is not None:
                raise self._raised
            if self._hub.clients.worries.hopeless is not None:
                raise errors.unavailable(self._hub.clients.worries.hopeless, self._hub.url)
            if time.monotonic() > deadline:
                raise HubUnavailable(
                    f"expected to be a member of the group within {JOIN_S:.0f} s",
                    where=f"group {self.group}, {self._hub.url}",
                    hint="is the cluster well? It was there a moment ago",
                )

    def _joined(self) -> bool:
        # In the older protocol a new member waits for all others to read; being known must do.
        return self._epoch() > 0 or (not self._modern and bool(self._consumer.memberid()))

    @property
    def id(self) -> str:
        """The member's name in the group."""
        return str(self._consumer.memberid())

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    @property
    def generation(self) -> int:
        if not self._closed:
            self._generation = max(self._generation, self._epoch())
        return self._generation

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        with self._lock:
            self._check_open()
            moved = self._mine(positions)
            self._store([Place(*tp, at) for tp, at in moved.items()])
            self._committed |= moved

    def begin(self) -> Transaction:
        self._check_open()
        rules.check_alone(
            self.group, is_open=self._transaction is not None and self._transaction.open
        )
        if self._writer is not None and self._writer.broken:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._writer = Writer(self._hub, self._writer_id())
        self._transaction = KafkaTransaction(
            self._hub, self._writer, partial(self._move, self._writer)
        )
        return self._transaction

    def _writer_id(self) -> str:
        """The transactional id: who takes over from a dead member knows it by that."""
        return f"{self.group}-{self._consumer.memberid() or uuid.uuid4().hex}"

    def _move(self, writer: Writer, positions: Mapping[TopicPartition, int]) -> Callable[[], None]:
        """Add positions to a transaction. The group's coordinator checks the membership.

        It does so only with positions: without any, one is set to where it is anyhow. Gives what
        is to be done once they are committed.
        """
        with self._lock:
            moved = self._mine(positions)
            sent = moved or dict([*self._committed.items()][:1])
            places = [Place(*tp, at, writer.id) for tp, at in sent.items()]
            if places:
                self._insist(lambda: writer.move(places, self._consumer.consumer_group_metadata()))
            return lambda: self._committed.update(moved)

    def close(self) -> None:
        if self._closed:
            return
        if self._transaction is not None:
            self._transaction.abort()
        super().close()
        if self._writer is not None:
            self._writer.close()
        self._hub.left(self)

    # Membership

    def _mine(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The positions, if this is still a member and owns all their partitions."""
        moved = {TopicPartition(*tp): int(at) for tp, at in positions.items()}
        foreign = sorted(moved.keys() - self._positions.keys())
        if self._lost is None and self._epoch() <= 0:
            self._lost = "its session is over"
        if self._lost is None and foreign:
            raise Fenced(
                f"expected partitions of this member, got {foreign[0].topic}"
                f"[{foreign[0].partition}]",
                where=f"group {self.group}",
                hint="it belongs to another member by now",
            )
        self._check_member()
        return moved

    def _store(self, places: list[Place]) -> None:
        """Commit positions by themselves."""

        def store() -> None:
            for place in self._consumer.commit(offsets=places, asynchronous=False) or ():
                if place.error is not None:
                    raise KafkaException(place.error)

        if places:
            self._insist(store)

    def _insist(self, step: Callable[[], object]) -> None:
        """Do what the group's coordinator has to agree to."""
        deadline = time.monotonic() + _INSIST_S
        stale_until = time.monotonic() + _STALE_S
        while True:
            try:
                step()
                return
            except KafkaException as raised:
                error = errors.reason(raised)
                name, now = error.name(), time.monotonic()
                if name == "STALE_MEMBER_EPOCH" and now < stale_until and self._epoch() > 0:
                    time.sleep(0.05)  # the group has changed; the next heartbeat tells us
                    continue
                if name in errors.FENCED:
                    self._lost = errors.sentence(error)
                    self._check_member()
                passing = error.retriable() or name in errors.PASSING
                if passing and not error.txn_requires_abort() and now < deadline:
                    time.sleep(0.05)
                    continue
                raise errors.lost(error, f"group {self.group}") from None

    def _check_member(self) -> None:
        if self._lost is not None:
            raise Fenced(
                f"this member was replaced: {self._lost}",
                where=f"group {self.group}",
                hint="its partitions have other owners; join anew",
            )

    def _epoch(self) -> int:
        """The member's epoch: 0 or below if it is none. The client keeps it in these four bytes.

        Another thread of the client's is asked for it: not to be done with each read.
        """
        metadata: bytes = self._consumer.consumer_group_metadata()
        if not metadata.startswith(b"CGMDv2:"):
            return self._generation or 1
        return int.from_bytes(metadata[7:11], "little", signed=True)

    def _prepare(self) -> None:
        self._check_member()
        if self._raised is not None:
            raise self._raised
        super()._prepare()

    def _look_for_failures(self) -> None:
        self._check_member()
        if self._raised is not None:
            raise self._raised
        news, self._news = sorted(self._news), []
        if news:
            self._told.update(news)
            if self._options.on_assigned is not None:
                self._options.on_assigned(news)
        super()._look_for_failures()

    def _fail_all(self, error: KafkaError) -> None:
        if error.name() in errors.FENCED:
            self._lost = errors.sentence(error)
        elif error.name() == "_FATAL" and _UNSUPPORTED in (error.str() or ""):
            self._raised = OldGroups()
        elif error.fatal() or not error.retriable():
            self._raised = errors.translate(error, f"group {self.group}")

    # What the client tells, inside `consume`

    def _on_assign(self, consumer: Consumer, places: list[Place]) -> None:
        added = [TopicPartition(place.topic, place.partition) for place in places]
        try:
            starts = self._starts(added)
        except BaseException as error:  # noqa: BLE001 - raised by `read`, not inside the client
            self._raised = error
            return
        assigned = [Place(*tp, at) for tp, at in starts.items()]
        if self._modern:
            consumer.incremental_assign(assigned)
        else:
            consumer.assign(assigned)
        self._positions.update(starts)
        self._ends.update(starts)
        self._unseen.update(starts)
        self._news += starts

    def _on_revoke(self, consumer: Consumer, places: list[Place]) -> None:
        gone = {TopicPartition(place.topic, place.partition) for place in places}
        told = sorted(gone & self._told)
        if told and not self._closed and self._options.on_revoked is not None:
            try:
                self._options.on_revoked(told)
            except BaseException as error:  # noqa: BLE001 - raised by `read`
                self._raised = error
        self._let_go(consumer, gone, places)

    def _on_lost(self, consumer: Consumer, places: list[Place]) -> None:
        if not self._closed:
            self._lost = self._lost or "its session is over"
            log.warning("group %s: lost the membership", self.group)
        gone = {TopicPartition(place.topic, place.partition) for place in places}
        self._let_go(consumer, gone, places)

    def _let_go(self, consumer: Consumer, gone: set[TopicPartition], places: list[Place]) -> None:
        if self._modern:
            consumer.incremental_unassign(places)
        else:
            consumer.unassign()
        self._told -= gone
        self._news = [tp for tp in self._news if tp not in gone]
        self._paused -= gone
        self._unseen -= gone
        for partition in gone:
            self._forget(partition)
            self._positions.pop(partition, None)
            self._ends.pop(partition, None)
            self._committed.pop(partition, None)

    def _starts(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where to read on: at committed positions, or where the caller wants to start."""
        if not partitions:
            return {}
        self._end_dead_writers(partitions)
        committed = self._hub.committed(self.group, partitions)
        fresh = [tp for tp in partitions if tp not in committed]
        starts = committed | self._hub.offsets(fresh, self._options.start)
        writer = self._writer_id()
        owner = dict.fromkeys(committed, writer) | {tp: only_owned(writer) for tp in fresh}
        self._store([Place(*tp, at, owner[tp]) for tp, at in starts.items()])
        self._committed |= starts
        return starts

    def _end_dead_writers(self, partitions: list[TopicPartition]) -> None:
        """Abort what former owners that are no longer members left open.

        Else what is behind it in their outputs and changelogs could not be read until the brokers
        give it up by themselves, a minute later. Positions carry the id of who set them.
        """
        writers = self._hub.groups_.writers(self.group, partitions) - {self._writer_id()}
        if not writers:
            return
        alive = {f"{self.group}-{each}" for each in self._hub.groups_.member_ids(self.group)}
        for writer in sorted(writers - alive):
            with suppress(HubError):  # another one has done it, or the brokers will
                Writer(self._hub, writer, patience_s=_FENCING_S).close()
