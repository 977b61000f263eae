"""The pipeline that faults are tried on: joins, counts, and counts again by another key.

`vagus run tests/kafka/pipeline.py` runs it. Its orders are numbered, so that each can be found in
every output, and its accounts have versions that only grow.
"""

from __future__ import annotations

from dataclasses import replace

import vagus as vg

SESSION_TIMEOUT_S = 6.0


class Order(vg.Event):
    """What comes in. `number` is unique; those of an account come in order."""

    number: int
    account: str
    kind: str
    amount: int


class Account(vg.Event):
    """A row of the table that orders are joined with."""

    account: str
    version: int


app = vg.App("faults", commit_interval="200ms")
app.policy = replace(app.policy, session_timeout_s=SESSION_TIMEOUT_S)
orders = app.topic("order", Order, key="account", partitions=4)
accounts = app.table("account", Account, key="account", partitions=4)

joined = orders.join(accounts, how="left")
joined.to("joined", partitions=3)
joined.group_by("account").agg(
    count=vg.count(), amount=vg.sum("amount"), last=vg.last("number"), emit="each"
).to("counted", partitions=4)
orders.group_by("kind").agg(count=vg.count(), amount=vg.sum("amount")).to_table(
    "kind-total", partitions=2
)
