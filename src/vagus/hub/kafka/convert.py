"""Messages of Kafka's client to columns, and columns to messages.

Kafka's client takes a timestamp of 0 for "now"; so 0 is written as -1, which is Kafka's word for
"no timestamp", and read back as 0.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import pairwise, repeat
from operator import length_hint
from typing import TYPE_CHECKING, Any

import numpy as np
from confluent_kafka import KafkaException, Message

from vagus.errors import HubError
from vagus.hub.records import BytesColumn, FetchedRecords, Records, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from confluent_kafka import Producer
    from numpy.typing import NDArray

_FULL_S = 0.1
_NEW_S = 5.0
Headers = list[tuple[tuple[str, bytes], ...]]


def produce(
    producer: Producer,
    partition: TopicPartition,
    records: Records,
    on_delivery: Callable[..., None] | None = None,
) -> None:
    """Hand records to a producer, waiting while its queue is full.

    `on_delivery` is called for each record with an error, or None, and the message.
    """
    stamps = records.timestamps if records.timestamps.all() else _stamps(records)
    for start, values in records.values.pieces():
        stop = start + len(values)
        columns = [values, records.keys.slice(start, stop).to_list(), stamps[start:stop].tolist()]
        if records.headers is not None:
            columns.append(list(map(list, records.headers[start:stop])))
        _produce(producer, partition, columns, on_delivery)


def _produce(
    producer: Producer,
    partition: TopicPartition,
    columns: list[list[Any]],
    on_delivery: Callable[..., None] | None,
) -> None:
    topic, number = partition
    deadline = time.monotonic() + _NEW_S
    fixed = repeat(number), repeat(on_delivery), repeat(None)
    while columns[0]:
        values, keys, *others = map(iter, columns)
        try:
            # No loop in Python's code and no names of arguments: they would double what it costs.
            deque(map(producer.produce, repeat(topic), values, keys, *fixed, *others), maxlen=0)
            return
        except BufferError:
            producer.poll(_FULL_S)
        except ValueError as error:
            raise HubError(
                f"expected names of headers without NUL: {error}", where=f"{topic}[{number}]"
            ) from None
        except KafkaException as error:
            if error.args[0].name() != "_UNKNOWN_PARTITION" or time.monotonic() > deadline:
                raise
            producer.list_topics(topic, timeout=_NEW_S)  # added since it last asked
        left = length_hint(values) + 1  # the one that was refused is still to be sent
        columns = [column[-left:] for column in columns]


def _stamps(records: Records) -> Any:
    return np.where(records.timestamps == 0, -1, records.timestamps)


def group(messages: Sequence[Message]) -> dict[TopicPartition, list[Message]]:
    """The messages of each partition, in their order."""
    found: dict[TopicPartition, list[Message]] = {}
    numbers: list[Any] = list(map(Message.partition, messages))
    names: list[Any] = list(map(Message.topic, messages))
    if numbers.count(numbers[0]) == len(numbers) and names.count(names[0]) == len(names):
        return {TopicPartition(names[0], numbers[0]): list(messages)}
    changes = np.diff(_codes(names)).astype(bool) | np.diff(_codes(numbers)).astype(bool)
    bounds = [0, *(np.flatnonzero(changes) + 1).tolist(), len(messages)]
    for start, stop in pairwise(bounds):  # the client hands out long runs, as they were fetched
        partition = TopicPartition(names[start], numbers[start])
        found.setdefault(partition, []).extend(messages[start:stop])
    return found


def _codes(values: list[Any]) -> NDArray[np.int64]:
    """A number for each value, the same for the same."""
    known = {value: code for code, value in enumerate(set(values))}
    return np.fromiter(map(known.__getitem__, values), np.int64, len(values))


def columns(partition: TopicPartition, messages: Sequence[Message]) -> FetchedRecords:
    """The messages of one partition in columns."""
    stamps = np.array([stamp for _, stamp in map(Message.timestamp, messages)], dtype=np.int64)
    first, last = messages[0].offset() or 0, messages[-1].offset() or 0
    if last - first == len(messages) - 1:  # they grow: so none is missing
        offsets = np.arange(first, last + 1, dtype=np.int64)
    else:
        offsets = np.array(list(map(Message.offset, messages)), dtype=np.int64)
    return FetchedRecords(
        BytesColumn(list(map(Message.key, messages))),
        BytesColumn(list(map(Message.value, messages))),
        np.maximum(stamps, 0),
        _headers(messages),
        partition=partition,
        offsets=offsets,
        next_offset=int(offsets[-1]) + 1,
    )


def _headers(messages: Sequence[Message]) -> Headers | None:
    found: list[Any] = list(map(Message.headers, messages))
    if not any(found):
        return None
    return [tuple((name, value or b"") for name, value in of or ()) for of in found]
