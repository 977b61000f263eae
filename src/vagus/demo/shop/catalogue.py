"""The catalogue: what can be bought, and for how much."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

import vagus as vg
from vagus.demo.shop.contracts import AddProduct, ChangePrice, PriceChanged, ProductAdded


class Product(BaseModel):
    """What is remembered of a product to decide."""

    cents: int | None = None


def decide(
    command: AddProduct | ChangePrice, product: Product
) -> Iterator[ProductAdded | PriceChanged]:
    """What comes of a command."""
    if command.cents <= 0:
        raise vg.Refused("not-positive", "a price is at least one cent")
    match command:
        case AddProduct(sku=sku, title=title, cents=cents):
            if product.cents is not None:
                raise vg.Refused("known", f"there is a product {sku!r} already")
            yield ProductAdded(sku=sku, title=title, cents=cents)
        case ChangePrice(sku=sku, cents=cents):
            if product.cents is None:
                raise vg.Refused("unknown", f"there is no product {sku!r}")
            if cents != product.cents:
                yield PriceChanged(sku=sku, cents=cents)


def evolve(product: Product, event: ProductAdded | PriceChanged) -> Product:
    """A product after an event."""
    return Product(cents=event.cents)


service = vg.Service("catalogue", session_timeout="6s")
products = service.aggregate(
    "product",
    key="sku",
    commands=AddProduct | ChangePrice,
    events=ProductAdded | PriceChanged,
    decider=vg.Decider(initial=Product, decide=decide, evolve=evolve),
    partitions=2,
)
