"""Envelopes: what is said about a command in its headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from vagus.events import Field, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.topic import Topic

if TYPE_CHECKING:
    from vagus.events import Metadata

__all__ = ["REPLIES", "REPLY_PARTITIONS", "Envelope", "sent_by"]

REPLY_PARTITIONS = 8
REPLIES = Topic(
    "vagus-reply",
    (
        RecordSchema.build(
            "Reply",
            [
                Field.of("version", pl.Int64()),
                Field.of("topic", pl.String()),
                Field.of("partition", pl.Int64()),
                Field.of("types", pl.List(pl.String())),
                Field.of("offsets", pl.List(pl.Int64())),
                Field.of("failed", pl.String()),
            ],
        ),
    ),
    config=TopicConfig(partitions=REPLY_PARTITIONS, retention_s=3600.0),
    form="json",
)
"""Where the answers to commands go, for as long as somebody may wait for them."""

_REPLY_TO = "vagus-reply-to"
_IDEMPOTENCY = "vagus-idempotency-key"
_VERSION = "vagus-expected-version"
_DEADLINE = "vagus-deadline"
_PROCESS = "vagus-process"


@dataclass(slots=True)
class Envelope:
    """What a command's sender wants of whoever decides it. All optional.

    The reply goes to partition `reply_partition` of the topic of replies, with the key `request`.
    The command has one effect for each `idempotency_key`; it is refused if the aggregate isn't at
    `expected_version`, or from `deadline_ms` (since 1970) on. A refusal is told to the case of a
    process that `process` names, as service/process/key.
    """

    request: bytes | None = None
    reply_partition: int = 0
    idempotency_key: str | None = None
    expected_version: int | None = None
    deadline_ms: int | None = None
    process: str | None = None

    def to_headers(self, metadata: Metadata) -> tuple[tuple[str, bytes], ...]:
        """The headers that say so, with those of the command's metadata."""
        return self._behind(list(metadata.to_headers()))

    def first_headers(self, command_id: str) -> tuple[tuple[str, bytes], ...]:
        """The same for a command that begins a piece of work, of which nothing else is known."""
        named = command_id.encode()
        return self._behind([("ce_id", named), ("ce_correlationid", named)])

    def _behind(self, headers: list[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
        if self.request is not None:
            headers.append((_REPLY_TO, b"%d/%s" % (self.reply_partition, self.request)))
        if self.idempotency_key is not None:
            headers.append((_IDEMPOTENCY, self.idempotency_key.encode()))
        if self.expected_version is not None:
            headers.append((_VERSION, b"%d" % self.expected_version))
        if self.deadline_ms is not None:
            headers.append((_DEADLINE, b"%d" % self.deadline_ms))
        return tuple(headers)

    @classmethod
    def from_headers(cls, headers: tuple[tuple[str, bytes], ...]) -> Envelope:
        """What the headers say. Raises ValueError for what can't be understood."""
        made = cls()
        for name, value in headers:
            if name == _REPLY_TO:
                number, _, request = value.partition(b"/")
                made.request, made.reply_partition = request, int(number)
                if not request or not 0 <= made.reply_partition < REPLY_PARTITIONS:
                    raise ValueError(f"expected a place for the reply, got {value!r}")
            elif name == _IDEMPOTENCY:
                made.idempotency_key = value.decode()
            elif name == _VERSION:
                made.expected_version = int(value)
            elif name == _DEADLINE:
                made.deadline_ms = int(value)
            elif name == _PROCESS:
                made.process = value.decode()
        return made


def sent_by(process: str, key: object) -> tuple[tuple[str, bytes], ...]:
    """The header by which a refusal finds back to the case of a process that sent the command."""
    return ((_PROCESS, f"{process}/{key}".encode()),)
