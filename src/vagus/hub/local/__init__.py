"""The embedded hub: one SQLite file."""

from __future__ import annotations

from vagus.hub.local.hub import HubInfo, LocalHub

__all__ = ["HubInfo", "LocalHub"]
