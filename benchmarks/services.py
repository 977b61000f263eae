"""Commands: how many are decided in a second, and how soon one is answered.

Beside it the package `eventsourcing` on SQLite, which does the same thing in the caller's own
thread: it loads an aggregate, has it decide, and saves its event.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any

import vagus as vg
from benchmarks.bank import Balance, Deposit, Deposited, bank
from benchmarks.measure import Result, Span, result, settle
from vagus.hub import TopicPartition
from vagus.runtime.runner import Runner
from vagus.services.views import Queries

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.services import ServiceClient

CALLERS = 100
_ACCOUNTS = 1_000
_ONE = 1_000  # commands of a single caller, at the most: each waits for the disk


@contextmanager
def _at_work(service: vg.Service, hub: Hub) -> Iterator[ServiceClient]:
    runner = Runner(service, hub)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        with service.connect(hub) as client:
            client.call(Deposit(account="first", cents=1), timeout_s=60)
            yield client
    finally:
        runner.stop()
        thread.join()


def commands(path: Path, count: int) -> Result:
    """Commands of a hundred callers who wait for their outcome, and of one."""
    each = max(1, count // CALLERS)
    one = max(1, min(_ONE, count // 10))
    alone = Span()
    span = Span()
    with vg.connect(str(path)) as hub, _at_work(bank(), hub) as client:

        async def caller(number: int, times: int) -> None:
            for turn in range(times):
                account = f"account-{(number + turn * CALLERS) % _ACCOUNTS}"
                outcome = await client.send(Deposit(account=account, cents=1), timeout_s=60)
                if not outcome.accepted:
                    raise SystemExit(f"services.commands: refused: {outcome}")

        async def callers() -> None:
            await caller(0, 1)
            settle()
            with span:
                await asyncio.gather(*(caller(number, each) for number in range(CALLERS)))
            with alone:
                await caller(0, one)

        asyncio.run(callers())
        events = hub.offsets([TopicPartition("account-event", 0)], "latest")
    if list(events.values()) != [each * CALLERS + one + 2]:
        raise SystemExit(f"services.commands: expected another number of events, got {events}")
    theirs = _their_speed(path.with_name("theirs.db"), one)
    return result(
        "services.commands",
        each * CALLERS,
        span,
        ratios={
            "eventsourcing": each * CALLERS / span.wall_s / theirs,
            "eventsourcing_one_caller": one / alone.wall_s / theirs,
        },
        more={"one_caller_per_s": one / alone.wall_s, "eventsourcing_per_s": theirs},
    )


def latency(path: Path, count: int) -> Result:
    """From sending a command to its outcome, and to a query that shows what it did."""
    times = max(2, min(_ONE, count // 10))
    took_ms: list[float] = []
    seen_ms: list[float] = []
    service = bank()

    @service.view("balances", Balance, key="account", of=service.aggregates["account"].events)
    def balances(event: Deposited, rows: Any) -> None:
        rows.put(Balance(account=event.account, cents=event.cents))

    with (
        vg.connect(str(path)) as hub,
        Queries(service, hub) as queries,
        _at_work(service, hub) as client,
    ):
        queries.follow()
        queries.wait_ready()
        view = queries["balances"]

        async def caller() -> None:
            for turn in range(times):
                before = time.perf_counter()
                command = Deposit(account=f"account-{turn}", cents=1)
                outcome = await client.send(command, timeout_s=60)
                took_ms.append((time.perf_counter() - before) * 1e3)
                await view.reach(outcome.token, wait_s=60)
                if view.get(command.account) is None:
                    raise SystemExit("services.latency: the view doesn't show the command")
                seen_ms.append((time.perf_counter() - before) * 1e3)

        with Span() as span:
            asyncio.run(caller())
    theirs = _their_speed(path.with_name("theirs.db"), times)
    return result(
        "services.latency",
        times,
        span,
        ratios={"eventsourcing": 1e3 / theirs / median(took_ms)},
        more={
            "p50_ms": median(took_ms),
            "p99_ms": quantiles(took_ms, n=100)[98],
            "p50_to_query_ms": median(seen_ms),
            "p99_to_query_ms": quantiles(seen_ms, n=100)[98],
        },
    )


def _their_speed(path: Path, count: int) -> float:
    """How often in a second `eventsourcing` loads an aggregate, has it decide, and saves it."""
    from uuid import UUID

    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event

    class TheirAccount(Aggregate):
        def __init__(self) -> None:
            self.cents = 0

        @event("Deposited")
        def deposit(self, cents: int) -> None:
            self.cents += cents

    app: Application[UUID] = Application(
        env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(path)}
    )
    ids = []
    for _ in range(min(count, 100)):
        account = TheirAccount()
        app.save(account)
        ids.append(account.id)
    with Span() as span:
        for turn in range(count):
            loaded: TheirAccount = app.repository.get(ids[turn % len(ids)])
            loaded.deposit(cents=1)
            app.save(loaded)
    app.close()
    return count / span.wall_s
