"""Appending outside transactions: one idempotent producer that a hub's threads share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from vagus.errors import HubUnavailable
from vagus.hub.kafka import errors
from vagus.hub.kafka.clients import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from confluent_kafka import KafkaError, Message, Producer

    from vagus.hub.contract import Acks
    from vagus.hub.kafka.admin import Admin
    from vagus.hub.kafka.clients import Clients
    from vagus.hub.records import Records, TopicPartition

TIMEOUT_S = 60.0
"""How long the client tries to deliver a record."""

PATIENCE_S = 7.0
"""How long to wait for the first one that is delivered, before asking what is in its way."""


class Appender:
    """Appends, and hears from a thread of its own what became of it."""

    def __init__(self, clients: Clients, admin: Admin) -> None:
        self._clients, self._admin = clients, admin
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        self._delivered = False

    def append(self, batches: Sequence[tuple[TopicPartition, Records]], acks: Acks) -> list[int]:
        """Append; the offset of each batch's first record."""
        self._admin.require({partition for partition, _ in batches})
        producer = self._start()
        reports = [_Report(len(records), acks == "none") for _, records in batches]
        for (partition, records), report in zip(batches, reports, strict=True):
            try:
                self._clients.send(producer, partition, records, report)
            except KafkaException as error:
                raise errors.wrap(error, self._admin.where, partition.topic) from None
        if acks == "none":
            return [-1] * len(batches)
        for (partition, _), report in zip(batches, reports, strict=True):
            if not self._delivered and not report.done.wait(PATIENCE_S):
                self._give_up_if_hopeless(producer, partition)
            if not report.done.wait(TIMEOUT_S + 10):
                raise HubUnavailable(
                    f"no answer from Kafka within {TIMEOUT_S:.0f} s", where=self._admin.where
                )
            if report.error is not None:
                if report.error.name() == "MSG_SIZE_TOO_LARGE":
                    limit = int(self._admin.settings(partition.topic)["max.message.bytes"])
                    raise errors.too_large(partition.topic, limit)
                raise errors.translate(report.error, self._admin.where, partition.topic)
            self._delivered = True
        return [report.first for report in reports]

    def _give_up_if_hopeless(self, producer: Producer, partition: TopicPartition) -> None:
        """Raise HubUnavailable if there are too few replicas in sync.

        Where nothing was ever delivered, that is more likely a mistake than a passing fault.
        """
        lack = self._admin.lack_of_replicas(partition)
        if lack is not None:
            with self._lock:
                self._producer = None
            producer.purge()
            raise lack

    def close(self) -> None:
        """Deliver what was not waited for."""
        with self._lock:
            if self._producer is None or self._closing:
                return
            self._producer.flush(TIMEOUT_S)
            self._closing = True
        assert self._thread is not None
        self._thread.join()

    def _start(self) -> Producer:
        with self._lock:
            if self._producer is None:
                made = self._producer = self._clients.producer(
                    {"linger.ms": "1", "message.timeout.ms": str(int(TIMEOUT_S * 1000))}
                )
                self._thread = threading.Thread(
                    target=self._hear, args=(made,), name="vagus-kafka-appends", daemon=True
                )
                self._thread.start()
            return self._producer

    def _hear(self, producer: Producer) -> None:
        while producer is self._producer and not self._closing:
            producer.poll(0.2)


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
