"""Services: applications that take commands."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from vagus.errors import DeclarationError, nearest
from vagus.services.aggregate import AggregateType
from vagus.services.client import ServiceClient
from vagus.services.processes import ProcessDeclarations
from vagus.services.views.declare import ViewDeclarations
from vagus.streams import App
from vagus.streams.duration import Duration, duration_ms

if TYPE_CHECKING:
    from vagus.events import Event, Registry
    from vagus.hub import Hub
    from vagus.services.command import Command
    from vagus.services.decider import Decider
    from vagus.services.outcome import Outcome
    from vagus.streams.views import Views

__all__ = ["Service"]


class Service(ViewDeclarations, ProcessDeclarations, App):
    """An application that takes commands, and owns the topics of their events.

    All that an `App` does, it does: it reads other services' topics, keeps tables, joins,
    aggregates. `aggregate` declares what decides its commands; `send` and `connect` send them.

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> class Deposit(vg.Command):
    ...     account: str
    ...     cents: int
    >>> class Deposited(vg.Event):
    ...     account: str
    ...     cents: int
    >>> class Account(BaseModel):
    ...     cents: int = 0
    >>> def decide(command, account):
    ...     if command.cents <= 0:
    ...         raise vg.Refused("not-positive")
    ...     yield Deposited(account=command.account, cents=command.cents)
    >>> def evolve(account, event):
    ...     return Account(cents=account.cents + event.cents)
    >>> bank = vg.Service("bank")
    >>> accounts = bank.aggregate(
    ...     "account",
    ...     key="account",
    ...     commands=Deposit,
    ...     events=Deposited,
    ...     decider=vg.Decider(initial=Account, decide=decide, evolve=evolve),
    ... )
    >>> with vg.testing.Harness(bank) as h:
    ...     h.send(Deposit(account="a", cents=5)).version
    ...     h.send(Deposit(account="a", cents=0)).refused.code
    1
    'not-positive'
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._aggregates: dict[str, AggregateType] = {}
        self._takers: dict[type[Event], AggregateType] = {}
        self._client: ServiceClient | None = None
        self._client_lock = threading.Lock()

    def aggregate(
        self,
        name: str,
        *,
        key: str,
        commands: Any,
        events: Any,
        decider: Decider[Any],
        partitions: int = 1,
        answers_kept: Duration = "24h",
    ) -> AggregateType:
        """Declare a kind of aggregate: what decides these commands, and which events come of it.

        `commands` and `events` are classes, or several joined by `|`; all have the field `key`,
        which says which aggregate they are about. Commands go to the topic `{name}-command`,
        events to `{name}-event`, which is kept for ever; no other service may have either.
        `partitions` is used when the topics are first created. `answers_kept` is for how long the
        same idempotency key gets the same answer.

        Raises DeclarationError for a field or class that can't be used so.
        """
        where = f"aggregate {name!r}"
        if name in self._aggregates:
            raise DeclarationError(f"two aggregates are called {name!r}", where=self.name)
        made = AggregateType(
            self,
            name,
            key,
            decider,
            self.topic(f"{name}-command", commands, key=key, partitions=partitions),
            self.topic(f"{name}-event", events, key=key, partitions=partitions),
            duration_ms(answers_kept) / 1000,
        )
        for command_type in made.command_types:
            if command_type in self._takers:
                raise DeclarationError(
                    f"expected one aggregate to take {command_type.__name__}, got "
                    f"{self._takers[command_type].name!r} and {name!r}",
                    where=where,
                )
            self._takers[command_type] = made
        self._aggregates[name] = made
        return made

    @property
    def aggregates(self) -> dict[str, AggregateType]:
        """The declared kinds of aggregates, by name."""
        return dict(self._aggregates)

    @property
    def commands(self) -> dict[str, type[Command]]:
        """The commands that it takes, by the names of their classes."""
        return {one.__name__: one for one in self._takers}  # type: ignore[misc]

    def taker(self, command_type: type[Event]) -> AggregateType:
        """The kind of aggregate that takes a command. Raises DeclarationError if none does."""
        found = self._takers.get(command_type)
        if found is None:
            known = list(self.commands)
            raise DeclarationError(
                f"expected a command of service {self.name!r}, got {command_type.__name__}",
                hint=nearest(command_type.__name__, known)
                or f"it takes {', '.join(known) or 'none'}",
            )
        return found

    def connect(
        self, hub: Hub | str = "vagus.db", *, registry: Registry | str | None = None
    ) -> ServiceClient:
        """A client that sends this service commands, on the hub that it runs on.

        The service itself may run in another process. `registry` is the one it runs with, or its
        URL; without one schemas are in the hub.
        """
        return ServiceClient(self, hub, registry=registry)

    async def send(self, command: Command, **options: Any) -> Outcome:
        """Send a command while the service runs in this process, as `ServiceClient.send` does."""
        return await self._own_client().send(command, **options)

    def call(self, command: Command, **options: Any) -> Outcome:
        """Send a command while the service runs in this process, as `ServiceClient.call` does."""
        return self._own_client().call(command, **options)

    def show_views(self, views: Views | None) -> None:
        """See `App.show_views`."""
        super().show_views(views)
        with self._client_lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _own_client(self) -> ServiceClient:
        with self._client_lock:
            if self._client is None:
                self._client = ServiceClient(self, self.views.hub, registry=self.views.registry)
            return self._client
