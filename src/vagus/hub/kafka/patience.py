"""An end to waiting for calls of Kafka's client that have none of their own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def within(timeout_s: float, call: Callable[[], object]) -> None:
    """Make a call that may hang, and raise what it raises.

    Raises TimeoutError when it isn't back in time. It is then left behind in a thread of its own,
    which ends when the call does: what it uses must not be closed meanwhile.
    """
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            raised.append(error)

    thread = threading.Thread(target=run, name="vagus-kafka-call", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise TimeoutError
    if raised:
        raise raised[0]
