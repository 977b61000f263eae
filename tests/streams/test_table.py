"""Tables: rows by key, and what can be done with them."""

from __future__ import annotations

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import rows
from vagus.errors import DeclarationError


class Employee(vg.Event):
    name: str
    team: str | None
    salary: int


def _employees(app: vg.App, **options: object) -> vg.Table:
    return app.table("employee", Employee, key="name", **options)  # type: ignore[arg-type]


ANN = Employee(name="ann", team="red", salary=50)
BOB = Employee(name="bob", team="red", salary=40)


def test_a_deletion_flows_on_as_one() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.to("changes")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, ANN)
        harness.delete(employees, "ann")

        assert rows(harness, "changes", "_key", "_tombstone") == [("ann", False), ("ann", True)]


def test_a_row_that_a_filter_no_longer_takes_is_deleted() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.filter(pl.col("salary") >= 50).to("rich")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, ANN)
        harness.send(employees, Employee(name="ann", team="red", salary=10))

        assert rows(harness, "rich", "_key", "salary", "_tombstone") == [
            ("ann", 50, False),
            ("ann", None, True),
        ]


def test_without_a_kept_table_every_failing_row_is_a_deletion() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.filter(pl.col("salary") >= 50).to("rich")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, BOB)

        assert rows(harness, "rich", "_key", "_tombstone") == [("bob", True)]


def test_a_kept_table_knows_which_deletions_say_nothing_new() -> None:
    app = vg.App("payroll")
    employees = _employees(app, kept=True)
    employees.filter(pl.col("salary") >= 50).to("rich")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, [BOB, ANN, Employee(name="ann", team="red", salary=10)])
        harness.send(employees, Employee(name="ann", team="red", salary=5))

        assert rows(harness, "rich", "_key", "_tombstone") == [("ann", False), ("ann", True)]


def test_columns_are_computed_and_deletions_stay_deletions() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    yearly = employees.with_columns(yearly=pl.col("salary") * 12).select("name", "yearly")
    yearly.to_table("yearly")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, [ANN, BOB])
        harness.delete(employees, "bob")

        assert harness.views["yearly"].get("ann") == {"name": "ann", "yearly": 600}
        assert harness.views["yearly"].get("bob") is None


def test_a_row_counts_in_the_group_that_it_is_in_now() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    teams = employees.group_by("team").agg(people=vg.count(), total=vg.sum("salary"))
    teams.to_table("team")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, [ANN, BOB])
        harness.send(employees, Employee(name="ann", team="blue", salary=60))

        assert harness.views["team"].get("red") == {"team": "red", "people": 1, "total": 40}
        assert harness.views["team"].get("blue") == {"team": "blue", "people": 1, "total": 60}


def test_a_deleted_row_counts_no_more_and_an_emptied_group_shows_zero() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.group_by("team").agg(people=vg.count()).to_table("team")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, ANN)
        harness.delete(employees, "ann")
        harness.delete(employees, "ann")

        assert harness.views["team"].get("red") == {"team": "red", "people": 0}


def test_a_row_that_stays_in_its_group_gives_one_result_one_that_moves_two() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.group_by("team").agg(total=vg.sum("salary"), emit="each").to("team")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, ANN)
        harness.send(employees, Employee(name="ann", team="red", salary=55))
        harness.send(employees, Employee(name="ann", team="blue", salary=60))

        assert rows(harness, "team", "team", "total") == [
            ("red", 50),
            ("red", 55),
            ("red", 0),
            ("blue", 60),
        ]


def test_rows_without_a_group_are_left_out() -> None:
    app = vg.App("payroll")
    employees = _employees(app)
    employees.group_by("team").agg(people=vg.count()).to("team")
    with vg.testing.Harness(app) as harness:
        harness.send(employees, Employee(name="eve", team=None, salary=1))

        assert harness.read("team").is_empty()


def test_an_aggregate_that_can_take_nothing_back_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected count, sum or mean for 'highest'"):
        _employees(vg.App("payroll")).group_by("team").agg(highest=vg.max("salary"))


def test_a_table_made_of_a_stream_can_be_grouped_again() -> None:
    class Sale(vg.Event):
        product: str
        country: str

    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product")
    per_product = sales.group_by().agg(sold=vg.count(), country=vg.last("country"))
    per_product.group_by("country").agg(sold=vg.sum("sold")).to_table("per-country")
    with vg.testing.Harness(app) as harness:
        for product in "aabab":
            harness.send(sales, Sale(product=product, country="LU"))

        assert harness.views["per-country"].get("LU") == {"country": "LU", "sold": 5}
