"""The embedded hub: one SQLite file."""

from __future__ import annotations

from vagus.hub.local.check import CheckReport, Damage
from vagus.hub.local.hub import HubInfo, LocalHub

__all__ = ["CheckReport", "Damage", "HubInfo", "LocalHub"]
