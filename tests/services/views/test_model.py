"""Random events, batches, restarts and rebuilds, beside a slow and obvious model."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vagus as vg
from tests.services.views.shop import Dropped, Paid, Placed, Shop, apply, dropped, paid, placed
from vagus.services import Queries

EVENT = st.one_of(
    st.builds(
        placed,
        st.integers(0, 9),
        note=st.sampled_from([None, "red", "red blue", "blue"]),
        customer_id=st.integers(0, 2),
        total=st.sampled_from([Decimal(n) / 4 for n in range(-3, 50, 7)]),
    ),
    st.builds(paid, st.integers(0, 9)),
    st.builds(dropped, st.integers(0, 9)),
)
STEP = st.one_of(
    st.lists(EVENT, min_size=1, max_size=12),
    st.sampled_from(["restart", "rebuild"]),
)


def tolerant(event: Any, rows: Any) -> None:
    """The view of orders, where an order that isn't there can't be paid."""
    if not isinstance(event, Paid) or rows.get(event.order_id) is not None:
        apply(event, rows)


class Model:
    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def take(self, event: Any) -> None:
        if isinstance(event, Placed):
            self.rows[event.order_id] = {**dict(event), "status": "placed"}
        elif isinstance(event, Paid) and event.order_id in self.rows:
            self.rows[event.order_id]["status"] = "paid"
        elif isinstance(event, Dropped):
            self.rows.pop(event.order_id, None)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=10), partitions=st.integers(1, 3))
def test_rows_are_those_of_the_model(steps: list[Any], partitions: int):
    shop = Shop(tolerant, partitions=partitions)
    model = Model()
    with vg.testing.Harness(shop.service) as h:
        queries = Queries(shop.service, h.hub, registry=h.registry)
        try:
            for step in steps:
                if step == "restart":
                    queries.close()
                    queries = Queries(shop.service, h.hub, registry=h.registry)
                elif step == "rebuild":
                    queries.rebuild("orders")
                else:
                    h.client.send(shop.orders, step)
                    for event in step:
                        model.take(event)
            queries.refresh()
            check(queries["orders"], model)
        finally:
            queries.close()


def check(view: Any, model: Model) -> None:
    found = {row.order_id: row for row in view.find()}
    assert sorted(found) == sorted(model.rows)
    for key, row in found.items():
        wanted = model.rows[key]
        assert (row.status, row.total, row.note) == (
            wanted["status"],
            wanted["total"],
            wanted["note"],
        )
    for customer in range(3):
        wanted_keys = sorted(k for k, v in model.rows.items() if v["customer_id"] == customer)
        assert [row.order_id for row in view.find(customer_id=customer)] == wanted_keys
    by_total = sorted(model.rows, key=lambda k: (model.rows[k]["total"], k), reverse=True)
    assert [row.order_id for row in view.find(sort="-total")] == by_total
    with_red = sorted(k for k, v in model.rows.items() if "red" in (v["note"] or ""))
    assert [row.order_id for row in view.find(search="red")] == with_red
    assert {c.key for c in view.changes("").changes} == set(model.rows)
