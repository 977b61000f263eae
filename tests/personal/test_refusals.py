"""Streams hand personal columns on; computing with what is encrypted is refused when declared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import polars as pl
import pytest

import vagus as vg
from tests.personal.people import Customer
from vagus.errors import DeclarationError

EMAIL = pl.col("email")


@pytest.mark.parametrize(
    "compute",
    [
        pytest.param(lambda s: s.filter(EMAIL == "a"), id="filter"),
        pytest.param(lambda s: s.branch(EMAIL == "a"), id="branch"),
        pytest.param(lambda s: s.with_columns(EMAIL.bin.size()), id="with_columns"),
        pytest.param(lambda s: s.select(long=EMAIL.bin.size()), id="select"),
        pytest.param(lambda s: s.rekey("email"), id="rekey"),
        pytest.param(lambda s: s.group_by("email").agg(n=vg.count()), id="group_by"),
        pytest.param(lambda s: s.group_by().agg(n=vg.distinct_count("email")), id="agg"),
    ],
)
def test_computing_with_a_personal_column_is_refused(compute: Callable[[Any], Any]) -> None:
    customers = vg.App("shop").topic("customer", Customer, key="customer_id")
    with pytest.raises(DeclarationError, match=r"'email'.*personal.*map_events"):
        compute(customers)


def test_a_table_can_t_be_filtered_or_grouped_by_a_personal_column() -> None:
    customers = vg.App("shop").table("customer", Customer, key="customer_id")
    with pytest.raises(DeclarationError, match="personal"):
        customers.filter(EMAIL == "a")
    with pytest.raises(DeclarationError, match="personal"):
        customers.group_by("email").agg(n=vg.count())


def test_a_personal_column_can_t_be_written_to_a_field_of_another_kind() -> None:
    class Plain(vg.Event):
        customer_id: int
        email: bytes | None = None

    class Other(vg.Event):
        customer_id: int
        email: Annotated[str | None, vg.Personal("customer_id")] = None
        mail: Annotated[str | None, vg.Personal("customer_id")] = None

    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with pytest.raises(DeclarationError, match="expected 'email' to be not personal"):
        customers.to(app.topic("plain", Plain, key="customer_id"))
    with pytest.raises(DeclarationError, match="encrypted as 'mail'"):
        customers.rename({"email": "mail"}).to(app.topic("other", Other, key="customer_id"))


def test_frames_hand_a_personal_column_on() -> None:
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    customers.map_frames(lambda frame: frame.with_columns(n=pl.lit(1))).to("numbered")
    with vg.testing.Harness(app) as harness:
        harness.send(customers, Customer(customer_id=1, city="London", email="ada@example.com"))

        assert harness.read("numbered").select("email", "n").rows() == [("ada@example.com", 1)]
