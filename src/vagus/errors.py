"""Every error that Vagus raises on purpose.

A message says what was expected and what came; `where` names the place (a file, a topic, a
field); `hint` says what to do. All three are shown together, so that a log line is enough.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CorruptBatch",
    "DeclarationError",
    "DecodeError",
    "EncodeError",
    "Fenced",
    "HubError",
    "HubUnavailable",
    "IncompatibleSchema",
    "OffsetOutOfRange",
    "RegistryUnavailable",
    "SchemaError",
    "TopicExists",
    "TopologyChanged",
    "UnknownGroup",
    "UnknownTopic",
    "VagusError",
]


class VagusError(Exception):
    """Base of all errors of this package.

    >>> raise VagusError("expected an int, got 'x'", where="speed_kmh", hint="send a number")
    Traceback (most recent call last):
    ...
    vagus.errors.VagusError: expected an int, got 'x' (at speed_kmh): send a number
    """

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.message = message
        self.where = where
        self.hint = hint
        place = f" (at {where})" if where else ""
        advice = f": {hint}" if hint else ""
        super().__init__(f"{message}{place}{advice}")


class DeclarationError(VagusError):
    """An event class, topic or stream was declared in a way that can't work."""


class SchemaError(VagusError):
    """A schema is malformed, unknown, or doesn't fit the data it was given."""


class IncompatibleSchema(SchemaError):
    """A new version of a schema would break readers or old data."""


class RegistryUnavailable(VagusError):
    """The schema registry can't be reached, refuses us, or is none."""


class EncodeError(VagusError):
    """A value doesn't fit the type that it is to be written as; `rows` are the rows it was in."""

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        rows: Iterable[int] = (),
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.rows = list(rows)


class DecodeError(VagusError):
    """Bytes can't be read as the type that they are said to be."""


class TopologyChanged(VagusError):
    """A stateful step has another meaning than the one whose state is stored under its name."""


class HubError(VagusError):
    """A hub refused or failed an operation."""


class HubUnavailable(HubError):
    """The hub can't be opened, read or written now (locked, full, read-only, foreign, newer)."""


class CorruptBatch(HubError):
    """Stored bytes don't match their checksum."""


class UnknownTopic(HubError):
    """No topic of that name."""

    def __init__(self, topic: str, known: Iterable[str] = (), *, hub: str | None = None) -> None:
        self.topic = topic
        super().__init__(
            f"no topic {topic!r}",
            where=hub,
            hint=nearest(topic, known) or "create it with `vagus topic create`",
        )


class UnknownGroup(HubError):
    """No consumer group of that name."""

    def __init__(self, group: str, known: Iterable[str] = (), *, hub: str | None = None) -> None:
        self.group = group
        super().__init__(
            f"no consumer group {group!r}",
            where=hub,
            hint=nearest(group, known) or "`vagus group list` shows the groups there are",
        )


class TopicExists(HubError):
    """A topic of that name is there already."""


class OffsetOutOfRange(HubError):
    """A position lies before the first event that is still kept, or beyond the end."""


class Fenced(HubError):
    """This member, or this transaction, has been replaced by a newer one and may write no more."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """`did you mean 'x'?` for the known name closest to `name`, or None."""
    close = get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else None
