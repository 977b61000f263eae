"""Personal data in commands, events, states and processes is stored encrypted, and forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import vagus as vg
from tests.personal.people import everything
from vagus.errors import DeclarationError
from vagus.testing import given

Email = str | None


class Register(vg.Command):
    customer_id: int
    email: Annotated[Email, vg.Personal("customer_id")] = None


class Remind(vg.Command):
    customer_id: int


class Registered(vg.Event):
    customer_id: int
    email: Annotated[Email, vg.Personal("customer_id")] = None


class Reminded(vg.Event):
    customer_id: int
    text: Annotated[Email, vg.Personal("customer_id")] = None


class Account(BaseModel):
    customer_id: int | None = None
    email: Annotated[Email, vg.Personal("customer_id")] = None


def _decide(command: Register | Remind, account: Account) -> Iterator[vg.Event]:
    if isinstance(command, Register):
        yield Registered(customer_id=command.customer_id, email=command.email)
    else:
        yield Reminded(customer_id=command.customer_id, text=f"to {account.email}")


def _evolve(account: Account, event: vg.Event) -> Account:
    if isinstance(event, Registered):
        return Account(customer_id=event.customer_id, email=event.email)
    return account


def _service() -> tuple[vg.Service, Any]:
    service = vg.Service("shop")
    accounts = service.aggregate(
        "account",
        key="customer_id",
        commands=Register | Remind,
        events=Registered | Reminded,
        decider=vg.Decider(initial=Account, decide=_decide, evolve=_evolve),
    )
    return service, accounts


REGISTER = Register(customer_id=1, email="ada@example.com")


def test_commands_events_and_states_hold_no_plain_data() -> None:
    service, accounts = _service()
    with vg.testing.Harness(service) as harness:
        harness.send(REGISTER)
        harness.restart()
        harness.send(Remind(customer_id=1))

        read = harness.read(accounts.event_topic.name)
        assert read.select("email", "text").rows() == [
            ("ada@example.com", None),
            (None, "to ada@example.com"),
        ]
        assert b"ada@" not in everything(harness.hub)


@pytest.mark.parametrize("restarted", [False, True])
def test_an_aggregate_forgets_with_the_key_what_it_has_in_memory_too(restarted: bool) -> None:
    service, accounts = _service()
    with vg.testing.Harness(service) as harness:
        harness.send(REGISTER)
        harness.client.forget(1)
        if restarted:
            harness.restart()
        harness.send(Remind(customer_id=1))

        read = harness.read(accounts.event_topic.name)
        assert read.select("email", "text").rows() == [(None, None), (None, "to None")]


def test_given_when_then_knows_personal_data() -> None:
    _, accounts = _service()
    registered = Registered(customer_id=1, email="ada@example.com")
    given(accounts, registered).when(Remind(customer_id=1)).then(
        Reminded(customer_id=1, text="to ada@example.com")
    )


class Overdue(vg.Event):
    customer_id: int
    email: Annotated[Email, vg.Personal("customer_id")] = None


@dataclass
class Case:
    customer_id: int | None = None
    email: Annotated[Email, vg.Personal("customer_id")] = None


def _react(event: vg.Event, case: Case) -> Iterator[Any]:
    if isinstance(event, Registered):
        case.customer_id, case.email = event.customer_id, event.email
        yield vg.After("1h", Overdue(customer_id=event.customer_id, email=event.email))
    elif isinstance(event, Overdue):
        yield Register(customer_id=event.customer_id, email=f"{case.email} {event.email}")


@pytest.mark.parametrize(
    ("forgets", "expected"), [(False, "ada@example.com ada@example.com"), (True, "None None")]
)
def test_processes_and_their_timers_keep_ciphertext(forgets: bool, expected: str) -> None:
    service = vg.Service("shop")
    registered = service.topic("registered", Registered, key="customer_id")
    commands = service.topic("register", Register, key="customer_id")
    service.process(
        "case",
        Case,
        on={registered: "customer_id"},
        react=_react,
        sends=[commands],
        timers=[Overdue],
    )
    with vg.testing.Harness(service) as harness:
        harness.send(registered, Registered(customer_id=1, email="ada@example.com"))
        if forgets:
            harness.client.forget(1)
        harness.restart()
        harness.advance("1h")

        assert harness.read(commands)["email"].to_list() == [expected]
        assert b"ada@" not in everything(harness.hub)


def test_a_mark_inside_of_a_state_s_parts_is_refused() -> None:
    class Contact(BaseModel):
        customer_id: int
        email: Annotated[Email, vg.Personal("customer_id")] = None

    class Book(BaseModel):
        contacts: list[Contact] = []

    service = vg.Service("shop")
    with pytest.raises(DeclarationError, match=r"Book\.contacts.*mark fields of the model"):
        service.aggregate(
            "book",
            key="customer_id",
            commands=Register,
            events=Registered,
            decider=vg.Decider(initial=Book, decide=lambda c, s: [], evolve=lambda s, e: s),
        )
