"""Who owns a topic: of the ones that only one application may write, which application it is.

The compacted topic `_vagus-owners` says so, a record for each topic. Claiming begins a transaction
of one fixed id, which fences whoever else is claiming, reads to the end, decides, and commits.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
from typing import TYPE_CHECKING

from vagus.errors import Fenced, HubError, TopicExists, UnknownTopic
from vagus.hub import Records, TopicConfig, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from vagus.hub import Hub

__all__ = ["OWNERS", "TopicOwned", "claim", "owners", "release"]

OWNERS = "_vagus-owners"

_PARTITION = TopicPartition(OWNERS, 0)
_WRITER = "vagus-owners"


class TopicOwned(HubError):
    """A topic that one application alone may write belongs to another one."""


def owners(hub: Hub) -> dict[str, str]:
    """The application that owns each owned topic of a hub.

    >>> import vagus as vg
    >>> with vg.connect(":memory:") as hub:
    ...     owners(hub)
    {}
    """
    try:
        start = hub.offsets([_PARTITION], "earliest")
        end = hub.offsets([_PARTITION], "latest")[_PARTITION]
    except UnknownTopic:
        return {}
    found: dict[str, str] = {}
    with hub.reader(start) as reader:
        while reader.positions()[_PARTITION] < end:
            for read in reader.read(wait_s=1.0):
                for key, value in zip(read.keys.to_list(), read.values.to_list(), strict=True):
                    if key is None:
                        continue
                    if value is None:
                        found.pop(key.decode(), None)
                    else:
                        found[key.decode()] = json.loads(value)["app"]
    return found


def claim(hub: Hub, app: str, topics: Collection[str]) -> None:
    """Make these topics an application's own. Raises TopicOwned if one is another's."""
    if not topics or not _claimed(owners(hub), app, topics):
        return
    _change(hub, lambda known: _claimed(known, app, topics))


def release(hub: Hub, app: str) -> list[str]:
    """Give up the topics of an application that is gone; which ones they were.

    The topics themselves stay as they are.

    >>> import vagus as vg
    >>> with vg.connect(":memory:") as hub:
    ...     release(hub, "order")
    []
    """
    given_up: list[str] = []

    def change(known: dict[str, str]) -> dict[str, str | None]:
        given_up[:] = sorted(topic for topic, owner in known.items() if owner == app)
        return dict.fromkeys(given_up)

    _change(hub, change)
    return given_up


def _claimed(known: dict[str, str], app: str, topics: Collection[str]) -> dict[str, str | None]:
    for topic in sorted(topics):
        owner = known.get(topic, app)
        if owner != app:
            raise TopicOwned(
                f"expected topic {topic!r} to belong to {app!r}, but it belongs to {owner!r}",
                hint="two services can't decide the same commands, or write the same events: give "
                "one of the aggregates another name (if the other service is gone, "
                f"vagus.services.release(hub, {owner!r}) gives its topics up)",
            )
    return {topic: app for topic in sorted(topics) if topic not in known}


def _change(hub: Hub, decide: Callable[[dict[str, str]], dict[str, str | None]]) -> None:
    if OWNERS not in hub.topics():
        with contextlib.suppress(TopicExists):  # another process was first
            hub.create_topic(OWNERS, TopicConfig(cleanup="compact"))
    while True:
        transaction = hub.begin(_WRITER)
        try:
            changes = decide(owners(hub))
            if not changes:
                return
            values = [
                None if app is None else json.dumps({"app": app}).encode()
                for app in changes.values()
            ]
            keys: list[bytes | None] = [topic.encode() for topic in changes]
            transaction.append([(_PARTITION, Records.of(keys, values, [0] * len(keys)))])
            transaction.commit()
            return
        except Fenced:  # another application is claiming, too: one of us is to be alone for long
            time.sleep(random.uniform(0, 0.02))
        finally:
            transaction.abort()
