"""Writes commands as records, many at a time."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from vagus.errors import EncodeError, TopicExists
from vagus.events import AvroCodec, BytesColumn, RecordSchema, partitions_for
from vagus.hub import Records, TopicPartition
from vagus.hub.personkeys import PersonKeys
from vagus.services.deciding import key_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagus.events import Event, Registry
    from vagus.hub import Hub
    from vagus.services.aggregate import AggregateType

__all__ = ["CommandWriter", "Headers"]

Headers = tuple[tuple[str, bytes], ...]


class CommandWriter:
    """Writes the commands of one kind of aggregate for a hub. Its topic is made if need be."""

    def __init__(self, aggregate: AggregateType, hub: Hub, registry: Registry) -> None:
        topic = aggregate.command_topic
        with contextlib.suppress(TopicExists):
            hub.create_topic(topic.name, topic.config)
        self._count = hub.describe_topic(topic.name).config.partitions
        self._topic = topic.name
        self._values = AvroCodec(topic.schemas, registry, topic.name)
        self._key_of = aggregate.key_of
        self._persons = PersonKeys.of(hub)

    def write(
        self, commands: Sequence[Event], headers: Sequence[Headers], now_ms: int
    ) -> list[tuple[TopicPartition, Records]]:
        """The commands as records, by partition. Raises EncodeError if one can't be written."""
        keys = self._encode_keys(commands)
        values = self._encode(commands)
        stamps = np.full(len(commands), now_ms, dtype=np.int64)
        if self._count == 1:
            whole = Records(keys, values, stamps, list(headers))
            return [(TopicPartition(self._topic, 0), whole)]
        partitions = partitions_for(keys, self._count)
        found = []
        for number in np.flatnonzero(np.bincount(partitions)).tolist():
            rows = np.flatnonzero(partitions == number)
            part = [headers[row] for row in rows.tolist()]
            records = Records(keys.take(rows), values.take(rows), stamps[rows], part)
            found.append((TopicPartition(self._topic, number), records))
        return found

    def _encode_keys(self, commands: Sequence[Event]) -> BytesColumn:
        try:
            return BytesColumn([key_bytes(self._key_of(command)) for command in commands])
        except (TypeError, ValueError, OverflowError) as error:
            raise EncodeError(
                f"expected a key of text, or a whole number of 64 bits: {error}", where=self._topic
            ) from None

    def _encode(self, commands: Sequence[Event]) -> BytesColumn:
        types = {type(command): None for command in commands}
        if len(types) == 1:
            return self._of_type(next(iter(types)), commands)
        parts, places = [], []
        for command_type in types:
            rows = [n for n, command in enumerate(commands) if type(command) is command_type]
            parts.append(self._of_type(command_type, [commands[row] for row in rows]))
            places += rows
        return BytesColumn.concat(parts).take(np.argsort(places))

    def _of_type(self, command_type: type[Event], commands: Sequence[Event]) -> BytesColumn:
        name = RecordSchema.of(command_type).name
        frame = self._persons.seal(
            command_type.to_frame(commands), RecordSchema.of(command_type).marks
        )
        return self._values.encode(frame, name=name)
