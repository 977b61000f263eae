"""The stock service: how many pieces there are of a product, and for whom they are kept."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import (
    GoodsReceived,
    ReceiveGoods,
    ReleaseStock,
    ReserveStock,
    StockReleased,
    StockReserved,
    StockTaken,
    TakeStock,
)

Asked = ReceiveGoods | ReserveStock | ReleaseStock | TakeStock
Happened = GoodsReceived | StockReserved | StockReleased | StockTaken


class Shelf(BaseModel):
    """The pieces of one product: those that can be had, and those that are kept for orders."""

    free: int = 0
    kept: dict[str, int] = {}


def decide(command: Asked, shelf: Shelf) -> Iterator[Happened]:
    """What comes of a command."""
    match command:
        case ReceiveGoods(sku=sku, pieces=pieces):
            if pieces <= 0:
                raise vg.Refused("not-positive", "at least one piece comes in")
            yield GoodsReceived(sku=sku, pieces=pieces)
        case ReserveStock(sku=sku, order_id=order, pieces=pieces):
            if order in shelf.kept:
                raise vg.Refused("known", f"pieces are kept for order {order} already")
            if pieces > shelf.free:
                raise vg.Refused("too-few", f"only {shelf.free} left", left=shelf.free)
            yield StockReserved(sku=sku, order_id=order, pieces=pieces)
        case ReleaseStock(sku=sku, order_id=order):
            yield StockReleased(sku=sku, order_id=order, pieces=_kept(shelf, order))
        case TakeStock(sku=sku, order_id=order):
            yield StockTaken(sku=sku, order_id=order, pieces=_kept(shelf, order))


def _kept(shelf: Shelf, order: str) -> int:
    if order not in shelf.kept:
        raise vg.Refused("unknown", f"nothing is kept for order {order}")
    return shelf.kept[order]


def evolve(shelf: Shelf, event: Happened) -> Shelf:
    """A shelf after an event."""
    free, kept = shelf.free, dict(shelf.kept)
    match event:
        case GoodsReceived(pieces=pieces):
            free += pieces
        case StockReserved(order_id=order, pieces=pieces):
            free, kept[order] = free - pieces, pieces
        case StockReleased(order_id=order, pieces=pieces):
            free += pieces
            del kept[order]
        case StockTaken(order_id=order):
            del kept[order]
    return Shelf(free=free, kept=kept)


service = vg.Service("stock", session_timeout="6s")
shelves = service.aggregate(
    "stock",
    key="sku",
    commands=Asked,
    events=Happened,
    decider=vg.Decider(initial=Shelf, decide=decide, evolve=evolve),
    partitions=2,
)
