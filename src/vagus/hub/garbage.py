"""Python's search for garbage in cycles, and when it is no help."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["keep_what_is_loaded", "uncollected", "without_collector"]

_FEW, _MANY = 16, 8_192


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep Python from looking for cycles for a while, unless it doesn't anyhow."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def uncollected(count: int) -> Iterator[None]:
    """Keep Python from looking for cycles while `count` events are made that have none.

    It would look all the time, take them for objects that stay, and so look through all there are:
    that takes a sixth to a half of the time, and stands in the way for some 50 ms each. The next
    look comes some milliseconds later instead. Of very many events nothing is put off: what a
    function of the user's leaves behind could grow large.
    """
    if not _FEW <= count <= _MANY:
        yield
        return
    with without_collector():
        yield


def keep_what_is_loaded() -> None:
    """Have Python look no more for cycles among what a process of our own has loaded so far.

    All modules and schemas are among it, and a look through them takes some 50 ms.
    """
    gc.collect()
    gc.freeze()
