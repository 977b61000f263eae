"""The client of a service: sends commands, and waits for what comes of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from typing import TYPE_CHECKING, Self

from vagus.errors import VagusError
from vagus.events import Metadata
from vagus.hub import connect, open_registry
from vagus.hub.contract import Closing
from vagus.runtime.spans import sending, tracing
from vagus.services.asking import Ask
from vagus.services.exchange import Exchange, Parcel, waiter
from vagus.services.outcome import Outcome, read_outcome
from vagus.services.writer import CommandWriter

if TYPE_CHECKING:
    from types import TracebackType

    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.services.aggregate import AggregateType
    from vagus.services.command import Command
    from vagus.services.outcome import Accepted
    from vagus.services.service import Service

__all__ = ["CommandTimedOut", "ServiceClient"]


class CommandTimedOut(VagusError):
    """No answer came in time. The command may still be done, now or later.

    Whoever sent it with an idempotency key can send it again: then it is done once, and the answer
    is the one that was missed.
    """

    def __init__(self, command: str, command_id: str, timeout_s: float, key: str | None) -> None:
        self.command_id = command_id
        self.idempotency_key = key
        super().__init__(
            f"expected an answer to {command} {command_id} within {timeout_s:g} s, got none",
            hint="it may still be done: is the service running? "
            + (
                f"Sent again with the idempotency key {key!r} it is done once"
                if key is not None
                else "With an idempotency key it could be sent again without being done twice"
            ),
        )


class ServiceClient(Closing):
    """Sends commands to a service that runs on the same hub, in this process or in another.

    `service.connect(hub)` makes it. It is safe to use from several threads and event loops.
    `registry` is where the service's schemas are, or its URL; without one they are in the hub.

    >>> import vagus as vg
    >>> service = vg.Service("bank")
    >>> with service.connect(":memory:") as client:
    ...     client.service.name
    'bank'
    """

    def __init__(
        self,
        service: Service,
        hub: Hub | str = "vagus.db",
        *,
        registry: Registry | str | None = None,
    ) -> None:
        self.service = service
        self._own = isinstance(hub, str)
        self.hub: Hub = connect(hub) if isinstance(hub, str) else hub
        self._registry = open_registry(registry, self.hub)
        self._exchange: Exchange | None = Exchange.of(self.hub)
        self._writers: dict[str, CommandWriter] = {}

    async def send(
        self,
        command: Command,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        expires_s: float | None = None,
        wait: bool = True,
        timeout_s: float = 10.0,
        metadata: Metadata | None = None,
    ) -> Outcome:
        """Send a command; what came of it.

        It is refused (`Conflict`) if the aggregate isn't at `expected_version`, the number of its
        events. Of all commands with the same `idempotency_key` one has an effect, and all get its
        answer. After `expires_s` seconds it is not decided any more. Without `wait` the outcome is
        "pending", and comes once the command is stored for good. `metadata` says which work it is
        part of.

        Raises CommandTimedOut if no answer comes in `timeout_s` seconds, CommandFailed if deciding
        failed, EncodeError for a command that can't be written, and Overloaded if thousands wait
        already.
        """
        ask = Ask(expected_version, idempotency_key, expires_s, wait, metadata)
        loop = asyncio.get_running_loop()
        parcel, command_id = self._parcel(command, ask, loop, loop.time() + timeout_s)
        exchange = self._running()
        exchange.post(parcel)
        try:
            answer = await parcel.future
        except TimeoutError:
            raise CommandTimedOut(
                type(command).__name__, command_id, timeout_s, idempotency_key
            ) from None
        finally:
            exchange.forget(parcel)
        return self._outcome(answer, command_id)

    def call(
        self,
        command: Command,
        *,
        expected_version: int | None = None,
        idempotency_key: str | None = None,
        expires_s: float | None = None,
        wait: bool = True,
        timeout_s: float = 10.0,
        metadata: Metadata | None = None,
    ) -> Outcome:
        """Send a command from code that isn't async, and block until it is answered; see `send`."""
        ask = Ask(expected_version, idempotency_key, expires_s, wait, metadata)
        parcel, command_id = self._parcel(command, ask)
        exchange = self._running()
        exchange.post(parcel)
        try:
            answer = parcel.future.result(timeout_s)
        except concurrent.futures.TimeoutError:
            raise CommandTimedOut(
                type(command).__name__, command_id, timeout_s, idempotency_key
            ) from None
        finally:
            exchange.forget(parcel)
        return self._outcome(answer, command_id)

    def close(self) -> None:
        """Stop waiting for replies, and close the hub if it was opened here."""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.leave()
            if self._own:
                self.hub.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)

    def _running(self) -> Exchange:
        if self._exchange is None:
            raise VagusError("expected an open client, got a closed one", where=self.service.name)
        return self._exchange

    def _parcel(
        self,
        command: Command,
        ask: Ask,
        loop: asyncio.AbstractEventLoop | None = None,
        due_s: float = 0.0,
    ) -> tuple[Parcel, str]:
        exchange = self._running()
        now_ms = time.time_ns() // 1_000_000
        request = exchange.request()
        aggregate = self.service.taker(type(command))
        if tracing():
            with sending(aggregate.command_topic.name, ask.metadata or Metadata()) as traced:
                ask.metadata = traced
        headers, command_id = ask.address(request, exchange.partition, now_ms)
        parcel = Parcel(
            self._writer(aggregate),
            command,
            headers,
            now_ms,
            waiter(loop),
            loop,
            request.encode(),
            not ask.wait,
            due_s,
        )
        return parcel, command_id

    def _writer(self, aggregate: AggregateType) -> CommandWriter:
        writer = self._writers.get(aggregate.name)
        if writer is None:
            writer = CommandWriter(aggregate, self.hub, self._registry)
            self._writers[aggregate.name] = writer
        return writer

    def _outcome(self, answer: Accepted | str | bytes | None, command_id: str) -> Outcome:
        if answer is None:  # the sender wanted no reply
            return Outcome(self.service.name, command_id, "pending")
        return read_outcome(self.service.name, command_id, answer)
