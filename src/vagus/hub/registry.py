"""From what people write to a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagus.hub.schemas import HubRegistry

if TYPE_CHECKING:
    from vagus.events.registry import Registry
    from vagus.hub.contract import Hub

__all__ = ["open_registry"]


def open_registry(registry: Registry | str | None, hub: Hub) -> Registry:
    """The registry that is meant: the hub's own if none is named.

    A text is the URL of one that speaks Confluent's REST interface.

    A name and a password, and the certificates to trust, come from the environment: see
    docs/registry.md. Does no I/O. Raises VagusError if the URL is none, or if the extra that
    speaks HTTP is missing.

    >>> from vagus.hub import connect
    >>> with connect(":memory:") as hub:
    ...     open_registry(None, hub).subjects()
    []
    """
    if not registry:
        return HubRegistry(hub)
    if not isinstance(registry, str):
        return registry
    from vagus.hub.confluent import ConfluentRegistry

    return ConfluentRegistry(registry)
