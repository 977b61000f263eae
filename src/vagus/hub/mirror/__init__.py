"""Copying topics, schemas and groups' positions from one hub to another, exactly once."""

from __future__ import annotations

from vagus.hub.mirror.mirror import Mirror
from vagus.hub.mirror.verify import Comparison

__all__ = ["Comparison", "Mirror"]
