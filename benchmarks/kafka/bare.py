"""confluent-kafka with nothing between: consume, produce, one transaction a second.

It writes as many events as the job that it is compared with. Its settings are those that cost the
least, and Python's garbage collector is off.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from itertools import repeat

from confluent_kafka import Consumer, Message, Producer

_COMMIT_S = 1.0
_BATCH = 10_000


def main(bootstrap: str, source: str, target: str, every: int) -> None:
    """Copy every `every`-th event of `source` to `target`, until the standard input ends."""
    gc.disable()
    ended = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=listen, daemon=True).start()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": target,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "queued.min.messages": 20_000,
        }
    )
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "transactional.id": target,
            "batch.num.messages": 100_000,
            "batch.size": 1 << 20,
            "queue.buffering.max.messages": 10_000_000,
            "queue.buffering.max.kbytes": 1 << 20,
            "linger.ms": 20,
        }
    )
    producer.init_transactions()
    consumer.subscribe([source])
    messages: list[Message] = []
    begun_ns = time.monotonic_ns(), time.process_time_ns()
    while not messages and not ended.is_set():
        begun_ns = time.monotonic_ns(), time.process_time_ns()
        messages = consumer.consume(_BATCH, 0.05)
    print("ready", *begun_ns, flush=True)

    count, open_s = 0, None
    while not ended.is_set():
        if messages and open_s is None:
            producer.begin_transaction()
            open_s = time.monotonic()
        if any(map(Message.error, messages)):
            raise SystemExit("expected messages without errors")
        first = -count % every  # of these
        count += len(messages)
        _produce(producer, target, messages[first::every])
        if messages:
            producer.poll(0)
        if open_s is not None and (not messages or time.monotonic() - open_s > _COMMIT_S):
            positions = consumer.position(consumer.assignment())
            producer.send_offsets_to_transaction(positions, consumer.consumer_group_metadata())
            producer.commit_transaction()
            open_s = None
        messages = consumer.consume(_BATCH, 0.05)
    consumer.close()


def _produce(producer: Producer, target: str, messages: list[Message]) -> None:
    columns = (
        repeat(target),
        map(Message.value, messages),
        map(Message.key, messages),
        repeat(0),
        repeat(None),
        repeat(None),
        [stamp for _, stamp in map(Message.timestamp, messages)],
    )
    # No loop in Python's own code, no names of arguments: half of the time of one with them.
    deque(map(producer.produce, *columns), maxlen=0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
