"""The customer service: who the customers are, and where they live."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import (
    AddressChanged,
    ChangeAddress,
    CustomerRegistered,
    RegisterCustomer,
)


class Customer(BaseModel):
    """What is remembered of a customer to decide."""

    full_name: str | None = None
    address: str = ""


def decide(
    command: RegisterCustomer | ChangeAddress, customer: Customer
) -> Iterator[CustomerRegistered | AddressChanged]:
    """What comes of a command."""
    number = command.customer_id
    match command:
        case RegisterCustomer(full_name=full_name, address=address):
            if customer.full_name is not None:
                raise vg.Refused("known", f"customer {number} is registered already")
            yield CustomerRegistered(customer_id=number, full_name=full_name, address=address)
        case ChangeAddress(address=address):
            if customer.full_name is None:
                raise vg.Refused("unknown", f"there is no customer {number}")
            if address != customer.address:
                yield AddressChanged(customer_id=number, address=address)


def evolve(customer: Customer, event: CustomerRegistered | AddressChanged) -> Customer:
    """A customer after an event."""
    match event:
        case CustomerRegistered(full_name=full_name, address=address):
            return Customer(full_name=full_name, address=address)
        case AddressChanged(address=address):
            return customer.model_copy(update={"address": address})


service = vg.Service("customer", session_timeout="6s")
customers = service.aggregate(
    "customer",
    key="customer_id",
    commands=RegisterCustomer | ChangeAddress,
    events=CustomerRegistered | AddressChanged,
    decider=vg.Decider(initial=Customer, decide=decide, evolve=evolve),
    partitions=2,
)
