"""An independent reader: confluent-kafka and fastavro by themselves, read-committed."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import fastavro
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from tests.kafka.ledger import DEAD_LETTERS, Row

PATIENCE_S = 90.0
_QUIET = {
    "group.id": "witness",
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",
    "log_level": 0,
    "topic.metadata.refresh.interval.ms": 1000,
    "reconnect.backoff.max.ms": 500,
    "fetch.wait.max.ms": 50,
}


class Witness:
    """Reads what is committed, of all partitions and from the start."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    def rows(self, topics: Iterable[str]) -> dict[str, list[Row]]:
        """All rows, up to the end that there is now. What is left open there is waited for."""
        schemas = {
            found["id"]: fastavro.parse_schema(json.loads(found["schema"]))
            for found in self.schemas().values()
        }
        return {
            topic: [_row(message, schemas) for message in self.messages(topic)] for topic in topics
        }

    def schemas(self) -> dict[str, dict[str, Any]]:
        """The last schema of each subject, as `_schemas` has them."""
        found: dict[str, dict[str, Any]] = {}
        for message in self.messages("_schemas"):
            value = message.value()
            if value is not None and json.loads(message.key())["keytype"] == "SCHEMA":
                schema = json.loads(value)
                found[schema["subject"]] = schema
        return found

    def owners(self, group: str) -> int:
        """How many members of a group there are, if all have partitions; 0 if some have none."""
        # A client of its own each time: one whose coordinator is gone may wait for ever.
        admin = AdminClient({"bootstrap.servers": self._bootstrap, "log_level": 0})
        try:
            found = admin.describe_consumer_groups([group])[group].result(PATIENCE_S)
        except KafkaException:
            return 0
        idle = any(not member.assignment.topic_partitions for member in found.members)
        return 0 if idle else len(found.members)

    def messages(self, topic: str) -> list[Message]:
        """All committed messages of a topic; none if it isn't there."""
        ends = self._ends(topic)
        consumer = Consumer(
            {**_QUIET, "bootstrap.servers": self._bootstrap, "isolation.level": "read_committed"}
        )
        found: list[Message] = []
        try:
            consumer.assign([TopicPartition(topic, number, 0) for number in ends])
            left = dict(ends)
            deadline = time.monotonic() + PATIENCE_S
            while left:
                assert time.monotonic() < deadline, f"{topic}: could not read up to {left}"
                for message in consumer.consume(1000, 0.2):
                    error = message.error()
                    if error is None:
                        found.append(message)
                    elif error.code() == KafkaError._PARTITION_EOF:
                        if message.offset() >= left.get(message.partition(), 0):
                            left.pop(message.partition(), None)
                    elif not error.retriable():
                        raise KafkaException(error)
        finally:
            consumer.close()
        return found

    def _ends(self, topic: str) -> dict[int, int]:
        """The high watermarks, past what transactions leave open."""
        consumer = Consumer(
            {**_QUIET, "bootstrap.servers": self._bootstrap, "isolation.level": "read_uncommitted"}
        )
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    known = consumer.list_topics(topic, timeout=5).topics[topic]
                    return {
                        number: consumer.get_watermark_offsets(
                            TopicPartition(topic, number), timeout=5
                        )[1]
                        for number in known.partitions
                    }
                except KafkaException:
                    if time.monotonic() > deadline:
                        raise
        finally:
            consumer.close()


def _row(message: Message, schemas: dict[int, Any]) -> Row:
    value = message.value()
    if message.topic() == DEAD_LETTERS:
        decoded: Any = dict(message.headers() or [])
    else:
        assert value is not None, f"{message.topic()}: a deletion"
        assert value[0] == 0
        schema = schemas[int.from_bytes(value[1:5], "big")]
        decoded = fastavro.schemaless_reader(io.BytesIO(value[5:]), schema, None)
    key = (message.key() or b"").decode(errors="replace")
    return Row(message.partition(), message.offset(), key, decoded)


class Watch:
    """Counts what is committed to a topic by key, as it comes, and how long nothing came."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self.counts: Counter[str] = Counter()
        self.longest_pause_s = 0.0
        self._last_s = time.monotonic()
        self._consumer = Consumer(
            {**_QUIET, "bootstrap.servers": bootstrap, "isolation.level": "read_committed"}
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        self._next = [0] * partitions
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start_over(self) -> None:
        """Measure pauses from now on."""
        self._last_s, self.longest_pause_s = time.monotonic(), 0.0

    def close(self) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            fresh = 0
            for message in self._consumer.consume(1000, 0.1):
                if message.error() is None and message.offset() >= self._next[message.partition()]:
                    self._next[message.partition()] = message.offset() + 1
                    self.counts[(message.key() or b"").decode(errors="replace")] += 1
                    fresh += 1
            if fresh:
                now_s = time.monotonic()
                self.longest_pause_s = max(self.longest_pause_s, now_s - self._last_s)
                self._last_s = now_s
