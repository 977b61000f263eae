"""What was sent to the pipeline, and what has to have come of it, each exactly once."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

STATE_OF_ACCOUNTS = "faults-order-by-account-changelog"
STATE_OF_KINDS = "faults-order-by-kind-changelog"
OUTPUTS = ("joined", "counted", "kind-total", STATE_OF_ACCOUNTS, STATE_OF_KINDS)
DEAD_LETTERS = "faults-dead-letters"


@dataclass(frozen=True)
class Row:
    """A committed record, decoded."""

    partition: int
    offset: int
    key: str
    value: dict[str, Any]


@dataclass
class Ledger:
    """Everything that was sent, in the order of each account; and the accounts' last versions."""

    orders: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)

    def check(self, rows: dict[str, list[Row]]) -> None:
        """Raise AssertionError, with what is wrong, unless each order had exactly one effect."""
        wrong = [*self._wrong_joined(rows["joined"]), *self._wrong_counted(rows["counted"])]
        wrong += self._wrong_kinds(rows["kind-total"])
        wrong += self._wrong_state(rows)
        wrong += [f"dead letter: {row.value}" for row in rows[DEAD_LETTERS]]
        assert not wrong, "\n".join(wrong[:20])

    def _wrong_joined(self, rows: list[Row]) -> Iterator[str]:
        """One result for each order, in the order of its account; versions never go back."""
        for account, mine in self._by_account("joined", rows):
            sent = [order["number"] for order in self.orders[account]]
            yield from _difference(f"joined, {account}", sent, [row["number"] for row in mine])
            seen = [-1 if row["version"] is None else row["version"] for row in mine]
            if seen != sorted(seen) or max(seen) > self.versions[account]:
                yield f"joined, {account}: versions {seen}, sent up to {self.versions[account]}"

    def _wrong_counted(self, rows: list[Row]) -> Iterator[str]:
        """The n-th order of an account made its n-th count, and its sum up to there."""
        for account, mine in self._by_account("counted", rows):
            expected, amount = [], 0
            for count, order in enumerate(self.orders[account], 1):
                amount += order["amount"]
                expected.append((count, amount, order["number"]))
            got = [(row["count"], row["amount"], row["last"]) for row in mine]
            yield from _difference(f"counted, {account}", expected, got)

    def _wrong_kinds(self, rows: list[Row]) -> Iterator[str]:
        """The counts of a kind only grow, and end at what was sent."""
        totals = self._totals()
        for kind, (count, amount) in totals.items():
            mine = [row.value for row in rows if row.key == kind]
            seen = [row["count"] for row in mine]
            if any(later <= earlier for earlier, later in itertools.pairwise(seen)):
                yield f"kind-total, {kind}: counts go back: {seen}"
            last = mine[-1] if mine else None
            if last is None or (last["count"], last["amount"]) != (count, amount):
                yield f"kind-total, {kind}: {last}, sent {count} orders of {amount}"
        yield from (f"kind-total: {row}" for row in rows if row.key not in totals)

    def _wrong_state(self, rows: dict[str, list[Row]]) -> Iterator[str]:
        """The state is what the orders make it."""
        expected = {
            account: (len(sent), sum(order["amount"] for order in sent))
            for account, sent in self.orders.items()
        }
        for topic, totals in ((STATE_OF_ACCOUNTS, expected), (STATE_OF_KINDS, self._totals())):
            last = {row.key: (row.value["count"], row.value["amount"]) for row in rows[topic]}
            if last != totals:
                yield f"{topic}: {last}, expected {totals}"

    def _totals(self) -> dict[str, tuple[int, int]]:
        totals: dict[str, tuple[int, int]] = {}
        for sent in self.orders.values():
            for order in sent:
                count, amount = totals.get(order["kind"], (0, 0))
                totals[order["kind"]] = (count + 1, amount + order["amount"])
        return totals

    def _by_account(
        self, topic: str, rows: list[Row]
    ) -> Iterator[tuple[str, Iterable[dict[str, Any]]]]:
        found: dict[str, list[Row]] = {account: [] for account in self.orders}
        for row in sorted(rows, key=lambda row: (row.partition, row.offset)):
            found.setdefault(row.key, []).append(row)
        for account, mine in found.items():
            assert account in self.orders, f"{topic}: {account} was never sent"
            assert len({row.partition for row in mine}) <= 1, f"{topic}: {account} moved"
            yield account, [row.value for row in mine]


def _difference(where: str, expected: list[Any], got: list[Any]) -> Iterator[str]:
    if expected == got:
        return
    at = next(
        (n for n, (a, b) in enumerate(zip(expected, got, strict=False)) if a != b),
        min(len(expected), len(got)),
    )
    missing, extra = len(set(expected) - set(got)), len(got) - len(set(got))
    yield (
        f"{where}: {len(expected)} expected, {len(got)} came, {missing} missing, {extra} twice; "
        f"at {at} expected {expected[at : at + 3]}, got {got[at : at + 3]}"
    )
