"""Given, when, then."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, PrivateAttr

import vagus as vg
from tests.services.bank import Account, Deposit, Deposited, Withdraw, Withdrawn, bank
from vagus.errors import DeclarationError
from vagus.testing import given

ACCOUNTS = bank().aggregates["account"]
PAID_IN = Deposited(account="a", cents=5)


def test_events_follow_from_the_events_before() -> None:
    done = given(ACCOUNTS, PAID_IN, PAID_IN).when(Withdraw(account="a", cents=7))
    done.then(Withdrawn(account="a", cents=7, left=3))
    assert done.state == Account(cents=3, movements=3)


def test_a_service_finds_the_aggregate_by_the_command() -> None:
    given(bank(), PAID_IN).when(Withdraw(account="a", cents=5)).then(
        Withdrawn(account="a", cents=5, left=0)
    )


def test_other_events_than_expected_fail_the_test() -> None:
    done = given(ACCOUNTS).when(Deposit(account="a", cents=5))
    with pytest.raises(AssertionError, match=r"expected Deposited.*cents=6.*, got Deposited.*=5"):
        done.then(Deposited(account="a", cents=6))
    with pytest.raises(AssertionError, match="expected nothing, got Deposited"):
        done.then()
    with pytest.raises(AssertionError, match=r"expected refusal Refused\('no'.*, got Deposited"):
        done.then(vg.Refused("no"))


def test_a_refusal_agrees_as_far_as_it_is_given() -> None:
    done = given(ACCOUNTS).when(Deposit(account="a", cents=0))
    done.then(vg.Refused("not-positive"))
    done.then(vg.Refused("not-positive", "an amount is above zero", cents=0))
    for other in (vg.Refused("no"), vg.Refused("not-positive", "x"), vg.Refused("no", cents=1)):
        with pytest.raises(AssertionError, match="got refusal"):
            done.then(other)
    with pytest.raises(AssertionError, match=r"expected Deposited.*, got refusal"):
        done.then(PAID_IN)


def test_an_error_of_the_decider_comes_out() -> None:
    with pytest.raises(ZeroDivisionError):
        given(ACCOUNTS).when(Deposit(account="a", cents=1, note="fail"))


def test_events_of_another_key_or_type_are_refused() -> None:
    other = Deposited(account="b", cents=1)
    with pytest.raises(DeclarationError, match=r"expected events of 'a'.*got one of 'b'"):
        given(ACCOUNTS, other).when(Deposit(account="a", cents=1))
    with pytest.raises(DeclarationError, match="events of aggregate 'account', got Deposit"):
        given(ACCOUNTS, Deposit(account="a", cents=1)).when(Deposit(account="a", cents=1))


def test_a_state_that_does_not_come_back_as_it_was_is_found() -> None:
    class Forgetful(BaseModel):
        _cents: int = PrivateAttr(default=0)

    def decide(command: Deposit, state: Forgetful) -> Any:
        return Deposited(account="a", cents=command.cents + state._cents)

    def evolve(state: Forgetful, event: Deposited) -> Forgetful:
        after = Forgetful()
        after._cents = state._cents + event.cents
        return after

    service = bank(decider=vg.Decider(initial=Forgetful, decide=decide, evolve=evolve))
    with pytest.raises(AssertionError, match="is all that counts in the state"):
        given(service, PAID_IN).when(Deposit(account="a", cents=1))


class Balance(vg.Row):
    account: str
    cents: int


class Owes(vg.Command):
    account: str


class Reminded(BaseModel):
    times: int = 0


def _office() -> tuple[Any, Any]:
    service = bank()
    events = service.aggregates["account"].events
    reminders = service.topic("reminder", Owes, key="account")

    @service.view("balances", Balance, key="account", of=events)
    def balances(event: Any, rows: Any) -> None:
        old = rows.get(event.account)
        change = event.cents if isinstance(event, Deposited) else -event.cents
        rows.put(Balance(account=event.account, cents=change + (old.cents if old else 0)))

    def react(event: Any, state: Reminded) -> Any:
        if isinstance(event, Withdrawn):
            yield vg.After("15m", Owes(account=event.account))
        elif isinstance(event, Owes):
            yield event

    reminding = service.process(
        "reminding", Reminded, on={events: "account"}, sends=[reminders], timers=[Owes], react=react
    )
    return balances, reminding


def test_a_view_has_rows_after_events() -> None:
    view, _ = _office()
    given(view).then()
    given(view, PAID_IN, Deposited(account="b", cents=1), PAID_IN).then(
        Balance(account="a", cents=10), Balance(account="b", cents=1)
    )
    with pytest.raises(
        AssertionError, match=r"expected nothing, got Balance\(account='a', cents=5"
    ):
        given(view, PAID_IN).then()


def test_a_process_sends_commands_when_time_has_passed() -> None:
    _, process = _office()
    out = Withdrawn(account="a", cents=1, left=0)
    given(process, PAID_IN, out).then()
    given(process, out).after("14m").then()
    given(process, out).after("15m").then(Owes(account="a"))
    given(process, out).after("15m", out).after("15m").then(Owes(account="a"), Owes(account="a"))
    with pytest.raises(AssertionError, match="expected nothing, got Owes"):
        given(process, out).after("15m").then()
    with pytest.raises(DeclarationError, match="'reminding' hears, got Deposit"):
        given(process, Deposit(account="a", cents=1)).then()
    with pytest.raises(DeclarationError, match="'reminding' sends, got Deposit"):
        given(process, out).then(Deposit(account="a", cents=1))
