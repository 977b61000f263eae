"""A shop: six services that own their data, and know of each other only through events."""

from __future__ import annotations

from vagus.demo.shop.demo import run

__all__ = ["run"]
