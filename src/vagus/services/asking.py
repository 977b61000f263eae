"""Asking: what a sender wants of a command, and how that is put into its headers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vagus.hub import TopicPartition
from vagus.hub.reading import read_all
from vagus.services.envelope import REPLIES, Envelope
from vagus.services.outcome import read_outcome
from vagus.services.writer import CommandWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.events import Metadata, Registry
    from vagus.hub import Hub
    from vagus.services.command import Command
    from vagus.services.outcome import Outcome
    from vagus.services.service import Service
    from vagus.services.writer import Headers

__all__ = ["Ask", "Desk"]


@dataclass(slots=True)
class Ask:
    """What a sender wants of a command; see `ServiceClient.send`."""

    expected_version: int | None = None
    idempotency_key: str | None = None
    expires_s: float | None = None
    wait: bool = True
    metadata: Metadata | None = None

    def address(self, request: str, partition: int, now_ms: int) -> tuple[Headers, str]:
        """The headers of a command whose reply is to name `request`, and the command's id."""
        envelope = Envelope(
            request.encode() if self.wait else None,
            partition,
            self.idempotency_key,
            self.expected_version,
            None if self.expires_s is None else now_ms + int(self.expires_s * 1000),
        )
        metadata = self.metadata
        if metadata is None:
            return envelope.first_headers(request), request
        if metadata.event_id is None:
            metadata = replace(
                metadata, event_id=request, correlation_id=metadata.correlation_id or request
            )
        return envelope.to_headers(metadata), metadata.event_id or request


class Desk:
    """Sends a service commands without threads: for tests, which do the service's work between."""

    def __init__(
        self, service: Service, hub: Hub, registry: Registry, clock: Callable[[], float]
    ) -> None:
        self._service, self._hub, self._registry, self._clock = service, hub, registry, clock
        self._writers: dict[str, CommandWriter] = {}
        self._sent = 0
        self._place = TopicPartition(REPLIES.name, 0)
        self._ids: dict[str, str] = {}

    def put(self, command: Command, ask: Ask) -> tuple[str, dict[TopicPartition, int]]:
        """Append a command: what its reply will name, and the offset after it."""
        aggregate = self._service.taker(type(command))
        writer = self._writers.get(aggregate.name)
        if writer is None:
            writer = CommandWriter(aggregate, self._hub, self._registry)
            self._writers[aggregate.name] = writer
        request = f"request-{self._sent}"
        self._sent += 1
        now_ms = int(self._clock() * 1000)
        headers, self._ids[request] = ask.address(request, self._place.partition, now_ms)
        batches = writer.write([command], [headers], now_ms)
        firsts = self._hub.append(batches)
        ends = {
            partition: first + len(records)
            for (partition, records), first in zip(batches, firsts, strict=True)
        }
        return request, ends

    def replies(self) -> dict[str, list[bytes]]:
        """All replies there are, by the request that they name."""
        found: dict[str, list[bytes]] = {}
        if REPLIES.name not in self._hub.topics():
            return found
        for read in read_all(self._hub, [self._place]):
            for key, value in zip(read.keys.to_list(), read.values.to_list(), strict=True):
                if key is not None and value is not None:
                    found.setdefault(key.decode(), []).append(value)
        return found

    def outcome(self, request: str) -> Outcome:
        """What came of a command. Raises CommandFailed, and KeyError if there is no reply."""
        return read_outcome(self._service.name, self._ids[request], self.replies()[request][0])
