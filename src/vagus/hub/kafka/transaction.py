"""Outputs and positions in one Kafka transaction."""

from __future__ import annotations

import time
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from confluent_kafka import KafkaException

from vagus.errors import Fenced, HubError, HubUnavailable
from vagus.hub import rules
from vagus.hub.contract import Transaction
from vagus.hub.kafka import errors
from vagus.hub.kafka.patience import within
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from confluent_kafka import KafkaError, Message
    from confluent_kafka import TopicPartition as Place
    from numpy.typing import NDArray

    from vagus.hub.contract import Then
    from vagus.hub.kafka.hub import KafkaHub
    from vagus.hub.records import Records

TIMEOUT_S = 60.0
"""How long brokers leave a transaction open of which they hear nothing more."""

_ROUND_S = 10.0
_LOOK_S = 5.0  # without an acknowledgment, before looking for what is in its way
_PAUSE_S = 0.05
_PATIENCE_S = 25.0  # brokers find new leaders within ten seconds; a client that hangs is replaced
_POSITIONS_S = 15.0
_CANT_ABORT = "Producer abort_transaction failed during close"


class Writer:
    """A producer with a transactional id: making one fences all earlier ones of that id."""

    def __init__(
        self, hub: KafkaHub, transactional_id: str, *, patience_s: float = _PATIENCE_S
    ) -> None:
        self.id = transactional_id
        self.fenced = False
        self.broken = False
        self._hangs = self._closed = False
        self._hub = hub
        self.producer = hub.clients.producer(
            {
                "transactional.id": transactional_id,
                "transaction.timeout.ms": str(int(TIMEOUT_S * 1000)),
                "linger.ms": "20",
            }
        )
        self.insist(lambda: self.producer.init_transactions(_ROUND_S), patience_s)

    def insist(self, step: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
        """Do a step until it is done, or can't be. Raises Fenced, or another HubError."""
        deadline = time.monotonic() + patience_s
        while True:
            try:
                step()
                return
            except KafkaException as raised:
                error = errors.reason(raised)
                hopeless = self._hub.clients.worries.hopeless
                if error.retriable() and hopeless is None and time.monotonic() < deadline:
                    time.sleep(_PAUSE_S)
                    continue
                self.broken = self.broken or not error.txn_requires_abort()
                told = hopeless if error.retriable() and hopeless is not None else error
                raise self.refused(told) from None

    def move(self, places: list[Place], metadata: object) -> None:
        """Add positions of a group's member to the transaction. Raises KafkaException.

        Here the client heeds no timeout, and waits for ever for a coordinator that the other
        brokers have struck off their list (librdkafka's issues 5456 and 5511). It is then left to
        that, HubUnavailable is raised, and the next writer of this id fences it.
        """
        try:
            within(
                _POSITIONS_S,
                lambda: self.producer.send_offsets_to_transaction(places, metadata, _ROUND_S),
            )
        except TimeoutError:
            self.broken = self._hangs = True
            raise HubUnavailable(
                f"nothing was committed: the group's coordinator was not reached within "
                f"{_POSITIONS_S:.0f} s",
                where=self._hub.url,
                hint="begin again, from the positions that are committed",
            ) from None

    def refused(self, error: KafkaError) -> HubError:
        """What to raise when the producer can't go on with a transaction."""
        if error.name() == "_FATAL":
            error = self._cause_of(error)
        if error.name() in errors.FENCED:
            self.fenced = self.broken = True
            return self.replaced(error)
        self.broken = self.broken or error.fatal()
        return errors.lost(error, f"writer {self.id!r}, {self._hub.url}")

    def _cause_of(self, fatal: KafkaError) -> KafkaError:
        """What made an error fatal: who only sends isn't told, who ends the transaction is."""
        try:
            self.producer.abort_transaction(_ROUND_S)
        except KafkaException as raised:
            return errors.reason(raised)
        return fatal

    def replaced(self, error: KafkaError) -> Fenced:
        """What to raise when another one has taken over."""
        return Fenced(
            f"expected the newest writer {self.id!r}: {errors.sentence(error)}",
            where="commit",
            hint="another one has begun since: read again, decide again, try again",
        )

    def abort(self) -> None:
        """Take back what was written. A writer that can't is broken, and so harmless."""
        if self.broken:
            return
        try:
            self.insist(lambda: self.producer.abort_transaction(_ROUND_S), 30.0)
        except HubError:
            self.broken = True

    def close(self) -> None:
        """Let go of the producer. May be called twice."""
        self.broken = True
        if self._closed or self._hangs:  # closing one that hangs would hang, too; it goes with it
            return
        self._closed = True
        with suppress(KafkaException):  # else it would try on to send what is given up
            self.producer.purge()
            self.producer.poll(0)
        # One that was fenced says so once more, and warns that it can't abort. The filter stays:
        # `catch_warnings` is no good where several threads close writers at once.
        warnings.filterwarnings("ignore", _CANT_ABORT, RuntimeWarning)
        with suppress(KafkaException):
            self.producer.close()


class KafkaTransaction(Transaction):
    """A transaction of a writer.

    `move` adds a member's positions to it, and gives what is to be done once they are committed;
    without, there can be none.
    """

    def __init__(
        self,
        hub: KafkaHub,
        writer: Writer,
        move: Callable[[Mapping[TopicPartition, int]], Callable[[], None]] | None = None,
        done: Callable[[], None] | None = None,
    ) -> None:
        self._hub, self._writer = hub, writer
        self._move, self._done = move, done
        self._begun = False
        self._places: dict[TopicPartition, _Places] = {}
        self._written: set[TopicPartition] = set()
        self._lack: HubUnavailable | None = None
        self.open = True

    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, located: bool = False
    ) -> None:
        self._check_open()
        self._hub.admin.require({TopicPartition(*tp) for tp, _ in batches})
        self._begin()
        try:
            for tp, records in batches:
                partition = TopicPartition(*tp)
                self._written.add(partition)
                if located:
                    places = self._places.setdefault(partition, _Places())
                    self._hub.clients.send(self._writer.producer, partition, records, places)
                else:
                    self._hub.clients.send(self._writer.producer, partition, records)
            self._writer.producer.poll(0)
        except KafkaException as raised:
            raise self._writer.refused(errors.reason(raised)) from None

    def commit(
        self, positions: Mapping[TopicPartition, int] | None = None, *, then: Then | None = None
    ) -> None:
        self._check_open()
        moved = dict(positions or {})
        if self._move is None:
            rules.check_no_positions(moved)
        try:
            self._begin()
            if then is not None:
                self.append(then(self._locate()))
            settle = None if self._move is None else self._move(moved)
            self._writer.insist(self._end_or_look)
        except BaseException as error:
            self.abort()
            if isinstance(error, HubUnavailable) and self._lack is not None:
                raise self._lack from None
            raise
        self._hub.clients.worries.written()
        if settle is not None:
            settle()
        self._end()

    def abort(self) -> None:
        if not self.open:
            return
        if self._begun:
            self._writer.abort()
        self._end()

    def _begin(self) -> None:
        if not self._begun:
            self._writer.insist(self._writer.producer.begin_transaction)
            self._begun = True

    def _end_or_look(self) -> None:
        """Commit, or look for what keeps the brokers from it."""
        try:
            self._writer.producer.commit_transaction(_LOOK_S)
        except KafkaException as raised:
            if errors.reason(raised).name() == "_TIMED_OUT":
                self._look()
            raise

    def _look(self) -> None:
        """Find, and say, that replicas are lacking: a worker waits until they are back."""
        with suppress(HubError):  # who doesn't answer is another matter
            self._lack = self._hub.admin.lack_of_replicas(sorted(self._written))
            if self._lack is not None:
                self._hub.clients.worries.lack(self._lack)

    def _locate(self) -> dict[TopicPartition, NDArray[np.int64]]:
        """Wait until it is known where the located outputs lie."""
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while self._writer.producer.flush(_LOOK_S):
                self._look()
                if time.monotonic() > deadline:
                    raise HubUnavailable(
                        f"nothing was committed: no acknowledgment within {_PATIENCE_S:.0f} s",
                        where=self._hub.url,
                        hint="begin again, from the positions that are committed",
                    )
        except KafkaException as raised:
            raise self._writer.refused(errors.reason(raised)) from None
        found = {}
        for partition, places in self._places.items():
            if places.error is not None:
                raise errors.translate(places.error, self._hub.url, partition.topic)
            found[partition] = np.array(places.offsets, dtype=np.int64)
        return found

    def _end(self) -> None:
        self.open = False
        if self._done is not None:
            self._done()

    def _check_open(self) -> None:
        self._hub.check_usable()
        rules.check_transaction(is_open=self.open)


class _Places:
    """Where records came to lie."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.error: KafkaError | None = None

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.error = error
        else:
            self.offsets.append(message.offset() or 0)
