"""Clients of a service that is at work, in this process or in another."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import vagus as vg
from tests.services.bank import Deposit, Withdraw, bank
from vagus.errors import EncodeError, VagusError
from vagus.hub import Hub, TopicPartition
from vagus.runtime.runner import Runner
from vagus.services import (
    CommandFailed,
    CommandTimedOut,
    Conflict,
    Overloaded,
    ServiceClient,
    exchange,
)


@contextmanager
def at_work(service: vg.Service, hub: Hub) -> Iterator[None]:
    """The service, run by a thread."""
    runner = Runner(service, hub)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with vg.connect(":memory:") as hub:
        yield hub


@pytest.fixture
def service(hub: Hub) -> Iterator[vg.Service]:
    service = bank()
    with at_work(service, hub):
        yield service


def test_a_caller_awaits_the_outcome(hub: Hub, service: vg.Service) -> None:
    async def main() -> None:
        async with service.connect(hub) as client:
            outcome = await client.send(Deposit(account="a", cents=5))
            assert (outcome.accepted, outcome.version) == (True, 1)
            refused = (await client.send(Withdraw(account="a", cents=6))).refused
            assert refused is not None
            assert (refused.code, refused.data) == ("too-little", {"left": 5})
            again = await client.send(Deposit(account="a", cents=5), expected_version=0)
            assert isinstance(again.refused, Conflict)
            with pytest.raises(CommandFailed, match="ZeroDivisionError"):
                await client.send(Deposit(account="a", cents=5, note="fail"))

    asyncio.run(main())


def test_a_caller_that_is_not_async_blocks(hub: Hub, service: vg.Service) -> None:
    with service.connect(hub) as client:
        assert client.call(Deposit(account="a", cents=5)).version == 1
        assert client.call(Deposit(account="a", cents=5), idempotency_key="k").version == 2
        assert client.call(Deposit(account="a", cents=5), idempotency_key="k").version == 2


def test_many_callers_of_loops_and_threads_each_get_their_own_answer(
    hub: Hub, service: vg.Service
) -> None:
    found: dict[str, int | None] = {}

    async def callers(name: str) -> None:
        async with service.connect(hub) as client:

            async def one(number: int) -> None:
                for _ in range(3):
                    account = f"{name}-{number}"
                    outcome = await client.send(Deposit(account=account, cents=1))
                    found[account] = outcome.version

            await asyncio.gather(*(one(number) for number in range(30)))

    def caller(name: str) -> None:
        with service.connect(hub) as client:
            for _ in range(3):
                found[name] = client.call(Deposit(account=name, cents=1)).version

    threads = [threading.Thread(target=caller, args=(f"t-{n}",)) for n in range(4)]
    threads += [
        threading.Thread(target=lambda n=n: asyncio.run(callers(f"loop-{n}"))) for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 64
    assert set(found.values()) == {3}


def test_without_waiting_the_outcome_is_pending_and_the_command_is_stored(hub: Hub) -> None:
    with bank().connect(hub) as client:
        outcome = client.call(Deposit(account="a", cents=5), wait=False)
        place = TopicPartition("account-command", 0)
        assert outcome.status == "pending"
        assert outcome.token.positions == {}
        assert hub.offsets([place], "latest") == {place: 1}


@pytest.mark.parametrize("key", [None, "k"])
def test_without_an_answer_in_time_the_command_may_still_be_done(hub: Hub, key: str | None) -> None:
    service = bank()
    with service.connect(hub) as client:

        async def send() -> None:
            await client.send(Deposit(account="a", cents=5), timeout_s=0.01, idempotency_key=key)

        with pytest.raises(CommandTimedOut, match="it may still be done") as caught:
            asyncio.run(send())
        assert caught.value.idempotency_key == key
        with pytest.raises(CommandTimedOut):
            client.call(Deposit(account="b", cents=5), timeout_s=0.01)
        with at_work(service, hub):
            again = client.call(Deposit(account="a", cents=5), idempotency_key=key)
            assert again.version == (2 if key is None else 1)


def test_each_of_those_who_wait_has_a_time_of_its_own(hub: Hub) -> None:
    gone: list[str] = []

    async def send(client: ServiceClient, account: str, timeout_s: float) -> None:
        with pytest.raises(CommandTimedOut):
            await client.send(Deposit(account=account, cents=5), timeout_s=timeout_s)
        gone.append(account)

    async def main(client: ServiceClient) -> None:
        async with asyncio.TaskGroup() as group:
            for account, timeout_s in (("late", 0.3), ("soon", 0.01), ("last", 0.6)):
                group.create_task(send(client, account, timeout_s))

    with bank().connect(hub) as client:
        asyncio.run(main(client))
    assert gone == ["soon", "late", "last"]


def test_loops_that_come_and_go_leave_nothing_behind(hub: Hub) -> None:
    seen: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def give_up(client: ServiceClient) -> None:
        seen.append(weakref.ref(asyncio.get_running_loop()))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.send(Deposit(account="a", cents=5)), 0.01)

    async def main(client: ServiceClient) -> None:
        waiting = asyncio.create_task(client.send(Deposit(account="b", cents=5)))
        for _ in range(3):
            await asyncio.to_thread(asyncio.run, give_up(client))
        gc.collect()
        assert [loop() for loop in seen[:2]] == [None, None]
        waiting.cancel()

    with bank().connect(hub) as client:
        asyncio.run(main(client))


def test_the_command_id_is_that_of_the_metadata(hub: Hub, service: vg.Service) -> None:
    with service.connect(hub) as client:
        metadata = vg.Metadata("c-1", "work-7")
        assert client.call(Deposit(account="a", cents=5), metadata=metadata).command_id == "c-1"
        metadata = vg.Metadata(correlation_id="work-7")
        outcome = client.call(Deposit(account="a", cents=5), metadata=metadata)
        with hub.reader({TopicPartition("account-event", 0): 1}) as reader:
            (read,) = reader.read()
        assert read.headers is not None
        said = vg.Metadata.from_headers(read.headers[0])
        assert (said.causation_id, said.correlation_id) == (outcome.command_id, "work-7")


def test_a_command_that_cannot_be_written_spoils_no_other(hub: Hub, service: vg.Service) -> None:
    async def main() -> None:
        async with service.connect(hub) as client:
            outcomes = await asyncio.gather(
                *(client.send(Deposit(account="a", cents=c)) for c in (1, 1 << 70, 2)),
                return_exceptions=True,
            )
        assert [isinstance(outcome, vg.Outcome) for outcome in outcomes] == [True, False, True]
        assert isinstance(outcomes[1], EncodeError)

    asyncio.run(main())


def test_too_many_commands_on_their_way_are_refused(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "WAITING_MAX", 3)

    async def main() -> None:
        async with bank().connect(hub) as client:
            sending = [
                asyncio.create_task(client.send(Deposit(account="a", cents=1), timeout_s=60))
                for _ in range(3)
            ]
            await asyncio.sleep(0)
            with pytest.raises(Overloaded, match="expected less than 3 commands"):
                await client.send(Deposit(account="a", cents=1))
            place = TopicPartition("account-command", 0)
            while hub.offsets([place], "latest")[place] < 3:  # noqa: ASYNC110 - a hub tells nobody
                await asyncio.sleep(0.001)
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            with pytest.raises(CommandTimedOut):  # those that nobody awaits count no more
                await client.send(Deposit(account="a", cents=1), timeout_s=0.01)

    asyncio.run(main())


def test_who_waits_is_told_when_the_client_is_closed(hub: Hub) -> None:
    async def main() -> None:
        client = bank().connect(hub)
        waiting = asyncio.create_task(client.send(Deposit(account="a", cents=1)))
        await asyncio.sleep(0)
        await client.__aexit__(None, None, None)
        with pytest.raises(vg.errors.HubError, match="the client was closed"):
            await waiting
        with pytest.raises(VagusError, match="expected an open client, got a closed one"):
            await client.send(Deposit(account="a", cents=1))

    asyncio.run(main())


def test_a_service_that_is_not_running_here_says_so() -> None:
    with pytest.raises(VagusError, match="expected a running application"):
        bank().call(Deposit(account="a", cents=5))


SERVICE = """
from tests.services.bank import *
import vagus as vg

service = bank()
"""


def test_a_service_in_another_process_answers(tmp_path: Path) -> None:
    """Commands go through the file of the hub, and so do the answers."""
    (tmp_path / "service.py").write_text(textwrap.dedent(SERVICE))
    path = str(tmp_path / "vagus.db")
    program = [sys.executable, "-m", "vagus.cli", "run", "service.py", "--hub", path]
    with (
        vg.connect(path) as hub,
        subprocess.Popen(
            program,
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            with bank().connect(hub) as client:
                outcomes = [
                    client.call(Deposit(account="a", cents=5), timeout_s=60) for _ in range(3)
                ]
        finally:
            process.terminate()
    assert [outcome.version for outcome in outcomes] == [1, 2, 3]
