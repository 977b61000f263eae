"""Commands: typed events that ask for something."""

from __future__ import annotations

from vagus.events import Event

__all__ = ["Command"]


class Command(Event):
    """Something that a service is asked to do. Subclass it and declare fields, as of an event.

    A command is sent to the aggregate that its key names; it is accepted, and events come of it,
    or it is refused.

    >>> class PlaceOrder(Command):
    ...     order_id: str
    ...     total_cents: int
    >>> PlaceOrder(order_id="o1", total_cents=4200)
    PlaceOrder(order_id='o1', total_cents=4200)
    """
