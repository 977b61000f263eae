"""Confluent's REST interface over the schemas of a hub. Needs the extra `serve`."""

from __future__ import annotations

from vagus.serve.registry.server import RegistryServer

__all__ = ["RegistryServer"]
