"""Mistakes in the declaration of a service are found at once, or when it starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

import vagus as vg
from tests.services.bank import DECIDER, Account, Deposit, Deposited, Withdraw, Withdrawn, bank
from vagus.errors import DeclarationError, HubError
from vagus.hub import TopicConfig
from vagus.services import TopicOwned, release
from vagus.testing import Harness


def _declare(service: vg.Service | None = None, name: str = "account", **changes: Any) -> None:
    facts = {"key": "account", "commands": Deposit, "events": Deposited, "decider": DECIDER}
    (service or vg.Service("bank")).aggregate(name, **{**facts, **changes})


class Fact(vg.Event):
    account: str


class Numbered(vg.Event):
    account: int


class Needy(BaseModel):
    cents: int


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"commands": Fact}, "expected commands, got Fact"),
        ({"events": Withdraw}, "expected events, got the command Withdraw"),
        ({"key": "owner"}, "Deposit has no field 'owner' to be its key"),
        ({"key": "cents", "events": Withdrawn | Fact}, "Fact has no field 'cents'"),
        ({"events": Numbered}, "'account' to be of one type, got String in commands and Int64"),
        ({"commands": int}, "expected an event class"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], error: str) -> None:
    with pytest.raises(DeclarationError, match=error):
        _declare(**changes)


@pytest.mark.parametrize(
    ("initial", "error"),
    [
        (lambda: 0, "expected a state that is a pydantic model or a dataclass, got int"),
        (Needy, "expected to make a first state without arguments"),
    ],
)
def test_a_state_has_a_class_and_a_beginning(initial: Any, error: str) -> None:
    decider = vg.Decider(initial=initial, decide=DECIDER.decide, evolve=DECIDER.evolve)
    with pytest.raises(DeclarationError, match=error):
        _declare(decider=decider)


def test_a_state_may_be_a_dataclass() -> None:
    @dataclass(frozen=True)
    class Balance:
        cents: int = 0

    def evolve(balance: Balance, event: Deposited) -> Balance:
        return Balance(balance.cents + event.cents)

    def decide(command: Deposit, balance: Balance) -> Any:
        if balance.cents >= 10:
            raise vg.Refused("full")
        return Deposited(account=command.account, cents=command.cents)

    service = vg.Service("bank")
    _declare(service, decider=vg.Decider(initial=Balance, decide=decide, evolve=evolve))
    with Harness(service) as h:
        h.send(Deposit(account="a", cents=10))
        h.restart()
        assert not h.send(Deposit(account="a", cents=1)).accepted


@pytest.mark.parametrize("name", ["initial", "decide", "evolve"])
def test_a_decider_is_made_of_plain_functions(name: str) -> None:
    async def later(*_: Any) -> None: ...

    parts: dict[str, Any] = {"initial": Account, "decide": DECIDER.decide, "evolve": DECIDER.evolve}
    with pytest.raises(DeclarationError, match="expected a plain function, got an async one"):
        vg.Decider(**{**parts, name: later})
    with pytest.raises(DeclarationError, match="expected a function, got 7"):
        vg.Decider(**{**parts, name: 7})


def test_an_aggregate_is_declared_once() -> None:
    service = vg.Service("bank")
    _declare(service)
    with pytest.raises(DeclarationError, match="two aggregates are called 'account'"):
        _declare(service)


def test_a_command_is_taken_by_one_aggregate() -> None:
    service = vg.Service("bank")
    _declare(service)
    with pytest.raises(DeclarationError, match="one aggregate to take Deposit, got 'account' and"):
        _declare(service, "other")


def test_a_command_that_nobody_takes_is_refused() -> None:
    class Deposits(vg.Command):
        account: str

    with (
        Harness(bank()) as h,
        pytest.raises(DeclarationError, match="got Deposits: did you mean 'Deposit'"),
    ):
        h.send(Deposits(account="a"))


def test_two_services_cannot_claim_the_same_topics() -> None:
    with Harness(bank()) as h:
        h.send(Deposit(account="a", cents=5))
        other = bank("other")
        h.restart()
        h.app = other
        with pytest.raises(TopicOwned, match="to belong to 'other', but it belongs to 'bank'"):
            h.run()
        release(h.hub, "bank")
        h.run()


@pytest.mark.parametrize("topic", ["account-event", "bank-account-state", "bank-account-answer"])
def test_topics_with_other_partitions_than_the_commands_are_refused(topic: str) -> None:
    with Harness(bank(partitions=4)) as h:
        h.hub.create_topic(topic, TopicConfig(partitions=3))
        with pytest.raises(HubError, match=f"expected topic '{topic}' to have 4 partitions"):
            h.run()


@pytest.mark.parametrize(
    "config",
    [
        TopicConfig(cleanup="compact"),
        TopicConfig(cleanup="compact,delete"),
        TopicConfig(retention_s=60.0),
        TopicConfig(retention_bytes=1 << 20),
    ],
)
def test_an_event_topic_that_is_not_kept_for_ever_is_refused(config: TopicConfig) -> None:
    with Harness(bank()) as h:
        h.hub.create_topic("account-event", config)
        with pytest.raises(HubError, match="'account-event' to keep its events for ever"):
            h.run()


def test_only_a_service_takes_commands() -> None:
    app = vg.App("plain")
    app.topic("fact", Fact, key="account").to("copy")
    with Harness(app) as h, pytest.raises(vg.errors.VagusError, match="expected a service"):
        h.send(Deposit(account="a", cents=5))
