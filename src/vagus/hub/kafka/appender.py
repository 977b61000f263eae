"""Appending outside transactions: one idempotent producer that a hub's threads share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from vagus.errors import HubUnavailable
from vagus.hub.kafka import errors
from vagus.hub.kafka.clients import log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import KafkaError, Message, Producer

    from vagus.errors import HubError
    from vagus.hub.contract import Acks
    from vagus.hub.kafka.admin import Admin
    from vagus.hub.kafka.clients import Clients
    from vagus.hub.records import Records, TopicPartition

TIMEOUT_S = 60.0
"""How long the client tries to deliver a record."""

PATIENCE_S = 7.0
"""How long to wait for the first one that is delivered, before asking what is in its way."""


class Appender:
    """Appends, and hears from a thread of its own what became of it.

    A fatal error ends its producer: what was sent through that one and not acknowledged fails, for
    nobody knows whether it was stored, and the next append makes another producer.
    """

    def __init__(self, clients: Clients, admin: Admin) -> None:
        self._clients, self._admin = clients, admin
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._closing = False
        self._delivered = False

    def append(self, batches: Sequence[tuple[TopicPartition, Records]], acks: Acks) -> list[int]:
        """Append; the offset of each batch's first record."""
        self._admin.require({partition for partition, _ in batches})
        line = self._start()
        reports = [_Report(len(records), acks == "none") for _, records in batches]
        for (partition, records), report in zip(batches, reports, strict=True):
            try:
                self._clients.send(line.producer, partition, records, report)
            except KafkaException as raised:
                error = errors.reason(raised)
                if error.fatal() or error.name() == "_FATAL":
                    self._end(line, error)
                raise self._failure(line, error, partition.topic) from None
        if acks == "none":
            return [-1] * len(batches)
        for (partition, _), report in zip(batches, reports, strict=True):
            if not self._delivered and not report.done.wait(PATIENCE_S):
                self._give_up_if_hopeless(line, partition)
            if not report.done.wait(TIMEOUT_S + 10):
                raise HubUnavailable(
                    f"no answer from Kafka within {TIMEOUT_S:.0f} s", where=self._admin.where
                )
            if report.error is not None:
                raise self._failure(line, report.error, partition.topic)
            self._delivered = True
        return [report.first for report in reports]

    def _failure(self, line: _Line, error: KafkaError, topic: str) -> HubError:
        """What to raise for records that were not acknowledged."""
        if line.fatal is not None:
            return errors.unsure(line.fatal, self._admin.where, topic)
        if error.name() == "MSG_SIZE_TOO_LARGE":
            limit = int(self._admin.settings(topic)["max.message.bytes"])
            return errors.too_large(topic, limit)
        return errors.translate(error, self._admin.where, topic)

    def _give_up_if_hopeless(self, line: _Line, partition: TopicPartition) -> None:
        """Raise HubUnavailable if there are too few replicas in sync.

        Where nothing was ever delivered, that is more likely a mistake than a passing fault.
        """
        lack = self._admin.lack_of_replicas([partition])
        if lack is not None:
            self._end(line)
            line.producer.purge()
            raise lack

    def close(self) -> None:
        """Deliver what was not waited for."""
        with self._lock:
            self._closing = True
            line = self._line
        if line is not None:
            line.thread.join()

    def _start(self) -> _Line:
        with self._lock:
            if self._line is None:
                self._line = _Line(
                    self._clients.producer(
                        {"linger.ms": "1", "message.timeout.ms": str(int(TIMEOUT_S * 1000))}
                    ),
                    self._hear,
                )
                self._line.thread.start()
            return self._line

    def _end(self, line: _Line, fatal: KafkaError | None = None) -> None:
        """Send nothing more through a line."""
        with self._lock:
            line.fatal = line.fatal or fatal
            if self._line is line:
                self._line = None

    def _hear(self, line: _Line) -> None:
        """Hear what becomes of records, until all that was sent through a line is settled."""
        while (line is self._line and not self._closing) or len(line.producer):
            try:
                line.producer.poll(0.2)
            except KafkaException as raised:  # a fatal error, which is said once
                error = errors.reason(raised)
                log.warning("%s: begins anew: %s", self._admin.where, errors.sentence(error))
                self._end(line, error)


class _Line:
    """A producer, the thread that hears what becomes of its records, and why it came to an end."""

    def __init__(self, producer: Producer, hear: Callable[[_Line], None]) -> None:
        self.producer = producer
        self.fatal: KafkaError | None = None
        self.thread = threading.Thread(
            target=hear, args=(self,), name="vagus-kafka-appends", daemon=True
        )


class _Report:
    """What became of the records of one batch."""

    def __init__(self, count: int, unheard: bool) -> None:
        self.first = -1
        self.error: KafkaError | None = None
        self.done = threading.Event()
        self._left = count
        self._unheard = unheard
        if not count:
            self.done.set()

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        self._left -= 1
        if error is None:
            if self.first < 0:
                self.first = message.offset() or 0
        elif self.error is None:
            self.error = error
            if self._unheard:
                log.warning("%s: lost events: %s", message.topic(), errors.sentence(error))
        if not self._left:
            self.done.set()
