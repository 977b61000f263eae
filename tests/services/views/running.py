"""Shops on a hub in a file, with their views followed in threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import vagus as vg
from vagus.services import Queries


def until(condition: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)
    return found


@contextmanager
def hub_in(folder: Path) -> Iterator[Any]:
    """The hub of a folder."""
    with vg.connect(str(folder / "hub.db")) as hub:
        yield hub


@contextmanager
def followed(service: Any, hub: Any) -> Iterator[Queries]:
    """Views that are kept up to date, once they answer."""
    with Queries(service, hub) as queries:
        queries.follow()
        queries.wait_ready()
        yield queries
