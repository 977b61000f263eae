"""From an address to a hub."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.local import LocalHub

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.hub.contract import Hub


def connect(url: str, *, clock: Callable[[], float] = time.time) -> Hub:
    """Open the hub at `url`: the path of a file, which is made if it isn't there, or `:memory:`.

    `clock` gives the time in seconds since 1970, for sessions and retention. With a clock of
    one's own, a hub in memory never waits. Raises HubUnavailable if the file can't be used,
    HubError if the address is of no known kind.

    >>> with connect(":memory:") as hub:
    ...     hub.topics()
    []
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", url, re.IGNORECASE)
    if not url or scheme:
        raise HubError(
            f"expected the path of a file, or ':memory:', got {url!r}",
            where="hub",
            hint="give a path such as ./vagus.db",
        )
    return LocalHub(url, clock=clock)
