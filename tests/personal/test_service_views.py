"""Rows of views keep personal data encrypted, show it, and forget it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pytest

import vagus as vg
from tests.personal.people import ADA, BOB, Customer
from vagus.errors import DeclarationError, VagusError
from vagus.services.views import Queries
from vagus.services.views.check import rows_after


class CustomerRow(vg.Row):
    customer_id: int
    city: str
    email: Annotated[str | None, vg.Personal("customer_id")] = None
    born: Annotated[date | None, vg.Personal("customer_id")] = None


def _put(event: Customer, rows: Any) -> None:
    before = rows.get(event.customer_id)
    kept = before.email if before is not None else None
    rows.put(
        CustomerRow(
            customer_id=event.customer_id,
            city=event.city,
            email=event.email or kept,
            born=event.born,
        )
    )


def _service() -> tuple[vg.Service, Any, Any]:
    service = vg.Service("shop")
    customers = service.topic("customer", Customer, key="customer_id")
    view = service.view("customers", CustomerRow, key="customer_id", of=customers)(_put)
    return service, customers, view


def test_a_view_shows_personal_data_until_the_person_is_forgotten() -> None:
    service, customers, _ = _service()
    with vg.testing.Harness(service) as harness:
        harness.send(customers, [ADA, BOB])
        view = harness.queries["customers"]
        row = CustomerRow(
            customer_id=1, city="London", email="ada@example.com", born=date(1815, 12, 10)
        )
        assert view.get(1) == row

        harness.client.forget(1)

        assert view.get(1) == CustomerRow(customer_id=1, city="London")
        assert [one.email for one in view.find(sort="customer_id")] == [None, "bob@example.com"]


def test_a_row_in_memory_is_not_written_again_with_a_new_key() -> None:
    service, customers, _ = _service()
    with vg.testing.Harness(service) as harness:
        harness.send(customers, ADA)
        harness.client.forget(1)
        harness.send(customers, Customer(customer_id=1, city="Paris"))
        harness.send(customers, Customer(customer_id=1, city="Rome"))

        assert harness.queries["customers"].get(1) == CustomerRow(customer_id=1, city="Rome")


def test_the_file_of_a_view_holds_no_plain_data(tmp_path: Path) -> None:
    service, customers, _ = _service()
    hub = tmp_path / "vagus.db"
    with vg.Client(service, str(hub)) as client:
        client.send(customers, ADA)
        with Queries(service, client.hub, registry=client.registry) as views:
            views.refresh()
            assert views["customers"].get(1).email == "ada@example.com"
        found = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert b"London" in found
        assert b"ada@" not in found


def test_a_view_on_columns_is_given_and_gives_plain_columns() -> None:
    service = vg.Service("shop")
    customers = service.topic("customer", Customer, key="customer_id")

    @service.view("customers", CustomerRow, key="customer_id", of=customers, columns=True)
    def put(frame: pl.DataFrame, rows: Any) -> None:
        upper = pl.col("email").str.to_uppercase()
        before = rows.frame(frame["customer_id"]).select("customer_id", known="email")
        frame = frame.select("customer_id", "city", upper, "born")
        if before.height:
            frame = frame.join(before, on="customer_id", how="left").select(
                "customer_id", "city", pl.coalesce("email", "known").alias("email"), "born"
            )
        rows.put_frame(frame)

    with vg.testing.Harness(service) as harness:
        harness.send(customers, [ADA, BOB])
        view = harness.queries["customers"]
        assert view.get(1).email == "ADA@EXAMPLE.COM"
        assert view.get(1).born == date(1815, 12, 10)

        harness.send(customers, Customer(customer_id=2, city="Köln"))
        assert view.get(2).email == "BOB@EXAMPLE.COM"
        harness.client.forget(2)
        assert view.get(2).email is None


def test_rows_can_be_checked_without_a_hub() -> None:
    _, _, view = _service()
    (row,) = rows_after(view, [ADA])
    assert row.email == "ada@example.com"


def test_a_question_about_a_personal_field_is_refused() -> None:
    service, customers, _ = _service()
    with vg.testing.Harness(service) as harness:
        harness.send(customers, ADA)
        with pytest.raises(VagusError, match="email"):
            harness.queries["customers"].find(email="ada@example.com")
        with pytest.raises(VagusError, match="email"):
            harness.queries["customers"].find(sort="email")


def test_an_index_or_a_search_on_a_personal_field_is_refused() -> None:
    service = vg.Service("shop")
    customers = service.topic("customer", Customer, key="customer_id")
    for options in ({"index": ["email"]}, {"search": ["email"]}):
        with pytest.raises(DeclarationError, match="email"):
            service.view("customers", CustomerRow, key="customer_id", of=customers, **options)(_put)
