"""The load: orders and new versions of accounts, produced without a pause, each noted."""

from __future__ import annotations

import io
import json
import random
import threading
import time
from typing import Any

import fastavro
from confluent_kafka import KafkaError, Message, Producer

from tests.kafka.ledger import Ledger

ACCOUNTS, KINDS = 25, 5


class Load:
    """Sends some hundred orders a second until it is paused, and never gives one up.

    It is a plain idempotent producer of confluent-kafka; `subjects` says how values are written.
    """

    def __init__(
        self, bootstrap: str, subjects: dict[str, dict[str, Any]], seed: int, rate: int = 250
    ) -> None:
        self.ledger = Ledger()
        self.sent = 0
        self._errors: list[KafkaError] = []
        self._dice = random.Random(seed)
        self._rate = rate
        self._codecs = {topic: _Codec(subjects[f"{topic}-value"]) for topic in ("order", "account")}
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": 300_000,
                "topic.metadata.refresh.interval.ms": 1000,
                "reconnect.backoff.max.ms": 500,
                "socket.timeout.ms": 10_000,
                "log_level": 0,
            }
        )
        for number in range(ACCOUNTS):
            self._send_account(f"account-{number}")
        self._producer.flush()
        self._going = threading.Event()
        self._waiting = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def start(self) -> None:
        """Send, until `pause`."""
        self._waiting.clear()
        self._going.set()

    def pause(self, within_s: float) -> None:
        """Stop sending, and wait until all that was sent is acknowledged."""
        self._going.clear()
        assert self._waiting.wait(within_s), "the load does not end"
        left = self._producer.flush(within_s)
        assert not left, f"{left} orders were not taken within {within_s} s"
        assert not self._errors, f"orders were refused: {self._errors[:3]}"

    def sent_by_account(self) -> dict[str, int]:
        """How many orders of each account were sent up to now."""
        return {account: len(sent) for account, sent in list(self.ledger.orders.items())}

    def close(self) -> None:
        """Stop for good."""
        self._stopping = True
        self._going.set()
        self._thread.join()
        self._producer.purge()

    def _run(self) -> None:
        while True:
            if not self._going.is_set():
                self._waiting.set()
                self._going.wait()
            if self._stopping:
                return
            for _ in range(self._dice.randrange(1, self._rate // 10)):
                self._send_order()
            if self._dice.random() < 0.3:
                self._send_account(f"account-{self._dice.randrange(ACCOUNTS)}")
            self._producer.poll(0)
            time.sleep(0.05)

    def _send_order(self) -> None:
        order = {
            "number": self.sent,
            "account": f"account-{self._dice.randrange(ACCOUNTS)}",
            "kind": f"kind-{self._dice.randrange(KINDS)}",
            "amount": self._dice.randrange(1000),
        }
        self._send("order", order["account"], order)
        self.ledger.orders.setdefault(order["account"], []).append(order)
        self.sent += 1

    def _send_account(self, account: str) -> None:
        version = self.ledger.versions.get(account, -1) + 1
        self._send("account", account, {"account": account, "version": version})
        self.ledger.versions[account] = version

    def _send(self, topic: str, key: str, value: dict[str, Any]) -> None:
        encoded = self._codecs[topic].encode(value)
        at_ms = int(time.time() * 1000)
        self._producer.produce(
            topic, encoded, key=key.encode(), timestamp=at_ms, on_delivery=self._reported
        )

    def _reported(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._errors.append(error)


class _Codec:
    """Confluent's framing around Avro."""

    def __init__(self, subject: dict[str, Any]) -> None:
        self._head = b"\0" + subject["id"].to_bytes(4, "big")
        self._schema = fastavro.parse_schema(json.loads(subject["schema"]))

    def encode(self, value: dict[str, Any]) -> bytes:
        out = io.BytesIO(self._head)
        out.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(out, self._schema, value)
        return out.getvalue()
