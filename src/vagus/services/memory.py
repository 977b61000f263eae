"""The memory of answers: the same command twice has one effect, and gets the same answer."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic_core import to_json

from vagus.runtime.frame import KEY, TIME

if TYPE_CHECKING:
    from vagus.events import Event
    from vagus.runtime.store import Store

__all__ = ["AnswerMemory", "Remembered", "fingerprint"]


@dataclass(slots=True)
class Remembered:
    """The answer to a command; `text` is empty until it is known where its events came to lie."""

    command: str
    at_ms: int
    text: str = ""

    def to_value(self) -> bytes:
        """The value of its record."""
        return to_json({"command": self.command, "answer": self.text})


def fingerprint(command: Event) -> str:
    """What tells two commands apart. Fields that have their default don't count.

    So a command that is sent again after its class got a new field is still the same.
    """
    plain = f"{type(command).__name__} {command.model_dump_json(exclude_defaults=True)}"
    return hashlib.blake2b(plain.encode(), digest_size=16).hexdigest()


class AnswerMemory:
    """Answers by idempotency key, for as long as they are kept."""

    def __init__(self, store: Store, keep_ms: int) -> None:
        self._keep_ms = keep_ms
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        for row in store.rows().sort(TIME).iter_rows(named=True):
            at_ms = int(row[TIME].timestamp() * 1000)
            self._known[row[KEY]] = Remembered(row["command"], at_ms, row["answer"])

    def get(self, key: str) -> Remembered | None:
        """The answer that was given under a key."""
        return self._known.get(key)

    def add(self, fresh: dict[str, Remembered]) -> None:
        """Remember what was answered in a batch."""
        self._known.update(fresh)

    def forget(self, now_ms: int) -> None:
        """Let go of what need not be kept any more."""
        while self._known:
            key, oldest = next(iter(self._known.items()))
            if oldest.at_ms + self._keep_ms >= now_ms:
                return
            del self._known[key]
