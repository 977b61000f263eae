"""Reading partitions up to given ends, and no further."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vagus.errors import HubUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vagus.hub.contract import Hub
    from vagus.hub.records import FetchedRecords, TopicPartition

__all__ = ["read_all", "read_to"]

READ_RECORDS = 65_536

PATIENCE_S = 150.0
"""How long nothing may come. A dead writer's open transaction, for one, holds all up behind it.

Brokers end what Vagus has left open after 60 s.
"""


def read_all(hub: Hub, partitions: Iterable[TopicPartition]) -> Iterator[FetchedRecords]:
    """All that is in these partitions at this moment. Raises as `read_to` does."""
    wanted = list(partitions)
    ends = hub.offsets(wanted, "latest")
    for got, _ in read_to(hub, hub.offsets(wanted, "earliest"), ends):
        yield from got


def read_to(
    hub: Hub,
    starts: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    max_bytes: int = 8 << 20,
    patience_s: float = PATIENCE_S,
) -> Iterator[tuple[list[FetchedRecords], dict[TopicPartition, int]]]:
    """All between the starts and the ends, in turns: what was read, and where that led to.

    Each turn has at most `max_bytes`, to within one stored batch; one in which nothing came ends
    after half a second. Raises HubUnavailable when nothing has come for `patience_s`.
    """
    wanted = {tp: at for tp, at in starts.items() if at < ends[tp]}
    if not wanted:
        return
    heard_s = time.monotonic()
    with hub.reader(wanted) as reader:
        before = reader.positions()
        while True:
            read = reader.read(max_records=READ_RECORDS, max_bytes=max_bytes, wait_s=0.5)
            got = [part for each in read if len(part := _cut(each, ends))]
            reached = {tp: min(at, ends[tp]) for tp, at in reader.positions().items()}
            if reached != before:
                heard_s, before = time.monotonic(), reached
            yield got, reached
            left = [tp for tp, at in reached.items() if at < ends[tp]]
            if not left:
                return
            reader.pause([tp for tp in reached if tp not in left])
            if time.monotonic() - heard_s > patience_s:
                topic, number = left[0]
                raise HubUnavailable(
                    f"expected events up to offset {ends[left[0]]}, got none after "
                    f"{reached[left[0]]} for {patience_s:.0f} s",
                    where=f"{topic}[{number}]",
                    hint="does a writer keep a transaction open? Stop it and try again; Kafka's "
                    "kafka-transactions.sh finds one that hangs, and can abort it",
                )


def _cut(read: FetchedRecords, ends: Mapping[TopicPartition, int]) -> FetchedRecords:
    end = ends[read.partition]
    if read.next_offset <= end:
        return read
    return read.slice(0, int(read.offsets.searchsorted(end)))
