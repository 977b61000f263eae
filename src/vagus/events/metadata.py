"""What an event says about itself in headers, in the names of CloudEvents' Kafka binding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self
from uuid import uuid4

__all__ = ["Metadata"]

_ENDS = 1 << 48  # as many last parts a UUID may have

_NAMES = {
    "ce_id": "event_id",
    "ce_correlationid": "correlation_id",
    "ce_causationid": "causation_id",
    "traceparent": "traceparent",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """Which event this is, which work it is part of, and which event caused it. All optional.

    `traceparent` is W3C's trace context.

    >>> order = Metadata.new()
    >>> payment = order.caused()
    >>> payment.causation_id == order.event_id, payment.correlation_id == order.correlation_id
    (True, True)
    >>> Metadata.from_headers(payment.to_headers()) == payment
    True
    """

    event_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def new(cls, traceparent: str | None = None) -> Self:
        """Metadata of an event that begins a piece of work; its id is the correlation id."""
        event_id = str(uuid4())
        return cls(event_id, event_id, None, traceparent)

    def caused(self, traceparent: str | None = None) -> Self:
        """Metadata of an event that this one caused."""
        return type(self)(
            str(uuid4()),
            self.correlation_id or self.event_id,
            self.event_id,
            traceparent or self.traceparent,
        )

    @staticmethod
    def effects(
        causes: Sequence[Iterable[tuple[str, bytes]]],
    ) -> list[tuple[tuple[str, bytes], ...]]:
        """The headers of events, one caused by each of the events that have these headers.

        None where the cause says nothing of itself. Like `caused`, for many at once.
        """
        # UUIDs that differ in their ends, which for one batch are drawn together.
        head, _, drawn = str(uuid4()).encode().rpartition(b"-")
        first = int(drawn, 16)
        found: list[tuple[tuple[str, bytes], ...]] = []
        for row, cause in enumerate(causes):
            cause_id = correlation = traceparent = None
            silent = True
            for name, value in cause:
                if name == "ce_id":
                    cause_id = value
                elif name == "ce_correlationid":
                    correlation = value
                elif name == "traceparent":
                    traceparent = value
                elif name != "ce_causationid":
                    continue
                silent = False
            if silent:
                found.append(())
                continue
            headers = [("ce_id", b"%s-%012x" % (head, (first + row) % _ENDS))]
            if correlation is None:
                correlation = cause_id
            if correlation is not None:
                headers.append(("ce_correlationid", correlation))
            if cause_id is not None:
                headers.append(("ce_causationid", cause_id))
            if traceparent is not None:
                headers.append(("traceparent", traceparent))
            found.append(tuple(headers))
        return found

    def to_headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that say so; none for what is not known."""
        return tuple(
            (header, value.encode())
            for header, name in _NAMES.items()
            if (value := getattr(self, name)) is not None
        )

    @classmethod
    def from_headers(cls, headers: Iterable[tuple[str, bytes | None]] | None) -> Self:
        """What the headers say; other headers are passed over."""
        found = {
            _NAMES[name]: value.decode(errors="replace")
            for name, value in headers or ()
            if name in _NAMES and value is not None
        }
        return cls(**found)
