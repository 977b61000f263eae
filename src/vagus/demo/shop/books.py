"""The books: whether stock, payments and orders add up, to the piece and the cent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from vagus.demo.shop import order, payment, shipping, stock
from vagus.streams import Client

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.streams import App

__all__ = ["Books"]


@dataclass(frozen=True)
class Books:
    """What happened in the shop so far, counted from the topics of events.

    >>> Books(1, 1, 0, 900, 900, 10, 2, 0, 0, 2, 1, 0).wrong()
    []
    """

    placed: int
    confirmed: int
    rejected: int
    cents_paid: int
    cents_confirmed: int
    pieces_received: int
    pieces_taken: int
    pieces_kept: int
    pieces_free_missing: int
    pieces_shipped: int
    shipped: int
    twice: int

    @classmethod
    def of(cls, hub: Hub) -> Books:
        """Read all events that there are."""
        orders, payments = (
            _events(order.service, hub, "order-event"),
            _events(payment.service, hub, "payment-event"),
        )
        goods = _events(stock.service, hub, "stock-event")
        parcels = _events(shipping.service, hub, "shipping-event")
        confirmed = _of(orders, "OrderConfirmed")
        settled = pl.concat([confirmed["order_id"], _of(orders, "OrderRejected")["order_id"]])
        reserved = _sum(goods, "StockReserved", "pieces")
        ended = _sum(goods, "StockReleased", "pieces") + _sum(goods, "StockTaken", "pieces")
        twice = sum(
            each.len() - each.n_unique()
            for each in (
                settled,
                parcels["order_id"],
                _of(orders, "OrderPlaced")["order_id"],
                _of(payments, "PaymentReceived")["order_id"],
                _of(goods, "StockReserved")["order_id"],
                _of(goods, "StockTaken")["order_id"],
            )
        )
        return cls(
            placed=_of(orders, "OrderPlaced").height,
            confirmed=confirmed.height,
            rejected=settled.len() - confirmed.height,
            cents_paid=_sum(payments, "PaymentReceived", "cents"),
            cents_confirmed=int(confirmed["cents"].sum()),
            pieces_received=_sum(goods, "GoodsReceived", "pieces"),
            pieces_taken=_sum(goods, "StockTaken", "pieces"),
            pieces_kept=reserved - ended,
            pieces_free_missing=_overdrawn(goods),
            pieces_shipped=int(parcels["pieces"].sum()),
            shipped=parcels.height,
            twice=twice,
        )

    @property
    def settled(self) -> bool:
        """Whether nothing is under way."""
        decided = self.placed == self.confirmed + self.rejected
        return decided and self.shipped == self.confirmed and self.pieces_kept == 0

    def wrong(self) -> list[str]:
        """What doesn't add up, once all is settled."""
        rules = {
            "each order was confirmed or rejected": self.placed == self.confirmed + self.rejected,
            "what was paid is what was confirmed": self.cents_paid == self.cents_confirmed,
            "each confirmed order was shipped": self.shipped == self.confirmed,
            "what left the stock was shipped": self.pieces_taken == self.pieces_shipped,
            "nothing is kept for orders that are over": self.pieces_kept == 0,
            "no more was kept than there was": self.pieces_free_missing == 0,
            "nothing happened twice": self.twice == 0,
        }
        return [rule for rule, holds in rules.items() if not holds]


def _events(service: App, hub: Hub, topic: str) -> pl.DataFrame:
    client = Client(service, hub)
    try:
        return client.read(topic)
    finally:
        client.close()


def _of(events: pl.DataFrame, kind: str) -> pl.DataFrame:
    return events.filter(pl.col("_type") == kind)


def _sum(events: pl.DataFrame, kind: str, column: str) -> int:
    return int(_of(events, kind)[column].sum())


def _overdrawn(goods: pl.DataFrame) -> int:
    """How many pieces were kept beyond those there were, at the worst moment of any product."""
    change = (
        pl.when(pl.col("_type").is_in(["GoodsReceived", "StockReleased"]))
        .then(pl.col("pieces"))
        .when(pl.col("_type") == "StockReserved")
        .then(-pl.col("pieces"))
        .otherwise(0)
    )
    # All events of a product are in one partition, in their order.
    free = goods.select(change.cum_sum().over("sku").min().alias("free"))["free"].to_list()
    return max(0, -(free[0] or 0))
