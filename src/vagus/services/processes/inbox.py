"""The inbox of a process manager: events of several topics, by the key of the process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError, nearest
from vagus.events import Field
from vagus.runtime.frame import KEY, SYSTEM, TOMBSTONE
from vagus.services.body import to_body
from vagus.streams.fields import marks_read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagus.runtime.batch import Batch
    from vagus.streams import Stream

__all__ = ["ENVELOPE", "Enveloping", "key_field"]

ENVELOPE = (
    Field.of("type", pl.String(), nullable=False),
    Field.of("body", pl.String(), nullable=False),
)
"""An event of whatever type: the name of its class, and itself as JSON."""


def key_field(stream: Stream, name: str, where: str) -> Field:
    """The field of a stream's events that names the process. Raises DeclarationError."""
    if not stream.event_types:
        raise DeclarationError(
            f"expected a topic of event classes, got {stream!r}",
            where=where,
            hint="a process reacts to events as they were declared: service.topic(...)",
        )
    if name not in stream.fields:
        known = [field for field in stream.fields if not field.startswith("_")]
        raise DeclarationError(
            f"no event of {stream.base!r} has a field {name!r} that says which process it is for",
            where=where,
            hint=nearest(name, known) or f"there are {', '.join(known)}",
        )
    return stream.fields[name]


class Enveloping:
    """Puts events into envelopes, with the key of their process. Those without one are left out."""

    def __init__(
        self, name: str, reader: Any, key: str, dtype: pl.DataType, empty: pl.DataFrame
    ) -> None:
        self._name, self._reader, self._key = name, reader, key
        self._dtype, self._empty = dtype, empty
        self._marks = marks_read(reader)

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = inputs[0]
        ours = ~pl.col(TOMBSTONE) & pl.col(self._key).is_not_null()
        frame = batch.opened(self._name, frame.filter(ours), self._marks)
        if not frame.height:
            return self._empty
        events = self._reader.from_frame(frame)
        return (
            frame.select(SYSTEM)
            .with_columns(
                frame[self._key].cast(self._dtype).alias(KEY),
                pl.Series("type", [type(event).__name__ for event in events]),
                pl.Series("body", [to_body(event, batch.persons) for event in events]),
            )
            .select(self._empty.columns)
        )
