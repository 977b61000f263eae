"""A service for the tests: accounts that money goes into and comes out of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

import vagus as vg


class Deposit(vg.Command):
    account: str
    cents: int
    note: str = ""


class Withdraw(vg.Command):
    account: str
    cents: int


class Deposited(vg.Event):
    account: str
    cents: int
    note: str = ""


class Withdrawn(vg.Event):
    account: str
    cents: int
    left: int


class Account(BaseModel):
    cents: int = 0
    movements: int = 0


def decide(command: Deposit | Withdraw, account: Account) -> Iterator[vg.Event]:
    match command:
        case Deposit():
            if command.cents <= 0:
                raise vg.Refused("not-positive", "an amount is above zero", cents=command.cents)
            if command.note == "fail":
                raise ZeroDivisionError("as asked")
            yield Deposited(account=command.account, cents=command.cents, note=command.note)
            if command.note == "twice":
                yield Deposited(account=command.account, cents=command.cents, note=command.note)
        case Withdraw():
            left = account.cents - command.cents
            if left < 0:
                raise vg.Refused("too-little", left=account.cents)
            yield Withdrawn(account=command.account, cents=command.cents, left=left)


def evolve(account: Account, event: Deposited | Withdrawn) -> Account:
    change = event.cents if isinstance(event, Deposited) else -event.cents
    return Account(cents=account.cents + change, movements=account.movements + 1)


DECIDER = vg.Decider(initial=Account, decide=decide, evolve=evolve)


def bank(name: str = "bank", decider: Any = DECIDER, **options: Any) -> vg.Service:
    """The service, declared anew."""
    service = vg.Service(name)
    service.aggregate(
        "account",
        key="account",
        commands=Deposit | Withdraw,
        events=Deposited | Withdrawn,
        decider=decider,
        **options,
    )
    return service
