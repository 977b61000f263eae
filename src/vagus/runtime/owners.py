"""Who owns a topic: of the ones that only one application may write, which application it is.

The topic `_vagus-owners` says so, a record for each topic. It is a `Ledger`: of several that claim
a topic at once, one succeeds.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

from vagus.errors import HubError, UnknownTopic
from vagus.hub.ledger import Entry, Ledger

if TYPE_CHECKING:
    from collections.abc import Collection

    from vagus.hub import Hub

__all__ = ["OWNERS", "TopicOwned", "claim", "owners", "release"]

OWNERS = "_vagus-owners"


class TopicOwned(HubError):
    """A topic that one application alone may write belongs to another one."""


def owners(hub: Hub) -> dict[str, str]:
    """The application that owns each owned topic of a hub.

    >>> import vagus as vg
    >>> with vg.connect(":memory:") as hub:
    ...     owners(hub)
    {}
    """
    return _Owners(hub).read()


def claim(hub: Hub, app: str, topics: Collection[str]) -> None:
    """Make these topics an application's own. Raises TopicOwned if one is another's."""
    owned = _Owners(hub)
    if topics and _claimed(owned.read(), app, topics):
        owned.ledger.change(lambda: _claimed(owned.known, app, topics))


def release(hub: Hub, app: str) -> list[str]:
    """Give up the topics of an application that is gone; which ones they were.

    The topics themselves stay as they are.

    >>> import vagus as vg
    >>> with vg.connect(":memory:") as hub:
    ...     release(hub, "order")
    []
    """
    owned = _Owners(hub)
    given_up = owned.ledger.change(
        lambda: [
            (topic.encode(), None) for topic, owner in sorted(owned.known.items()) if owner == app
        ]
    )
    return [topic.decode() for topic, _ in given_up]


class _Owners:
    """What the topic says."""

    def __init__(self, hub: Hub) -> None:
        self.known: dict[str, str] = {}
        self.ledger = Ledger(hub, OWNERS, "vagus-owners", self._apply)

    def read(self) -> dict[str, str]:
        """The application that owns each topic, as of now."""
        with suppress(UnknownTopic):  # nobody has claimed anything
            self.ledger.read()
        return self.known

    def _apply(self, topic: bytes, value: bytes | None) -> None:
        if value is None:
            self.known.pop(topic.decode(), None)
        else:
            self.known[topic.decode()] = json.loads(value)["app"]


def _claimed(known: dict[str, str], app: str, topics: Collection[str]) -> list[Entry]:
    for topic in sorted(topics):
        owner = known.get(topic, app)
        if owner != app:
            raise TopicOwned(
                f"expected topic {topic!r} to belong to {app!r}, but it belongs to {owner!r}",
                hint="two services can't decide the same commands, or write the same events: give "
                "one of the aggregates another name (if the other service is gone, "
                f"vagus.services.release(hub, {owner!r}) gives its topics up)",
            )
    value = json.dumps({"app": app}).encode()
    return [(topic.encode(), value) for topic in sorted(topics) if topic not in known]
