"""The service that is measured: accounts that money is put into. Run as it is by `vagus serve`."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

import vagus as vg


class Deposit(vg.Command):
    account: str
    cents: int


class Deposited(vg.Event):
    account: str
    cents: int


class Balance(vg.Row):
    account: str
    cents: int


class Account(BaseModel):
    cents: int = 0


def _decide(command: Deposit, account: Account) -> Iterator[Deposited]:
    if command.cents <= 0:
        raise vg.Refused("not-positive")
    yield Deposited(account=command.account, cents=command.cents)


def _evolve(account: Account, event: Deposited) -> Account:
    return Account(cents=account.cents + event.cents)


def bank() -> vg.Service:
    """The service, newly declared."""
    service = vg.Service("bank")
    service.aggregate(
        "account",
        key="account",
        commands=Deposit,
        events=Deposited,
        decider=vg.Decider(initial=Account, decide=_decide, evolve=_evolve),
    )
    return service


service = bank()
