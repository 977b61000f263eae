"""One process at work: its state, its timers, and whether it is held up by an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter

__all__ = ["COLUMNS", "Row", "Timer"]

COLUMNS = ("state", "timers", "error", "held")


@dataclass
class Timer:
    """An event that is to come at a time, and the headers and place of the one that asked for it.

    `partition` and `offset` are a place in the process's inbox.
    """

    name: str
    due_ms: int
    type: str
    body: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    partition: int = 0
    offset: int = 0


_TIMERS = TypeAdapter(list[Timer])


@dataclass
class Row:
    """What is kept of a process.

    `held` counts the events that wait among the dead letters, the one that failed first with
    `error`; none goes past them.
    """

    state: str
    timers: list[Timer]
    error: str | None = None
    held: int = 0

    @classmethod
    def of(cls, columns: dict[str, Any]) -> Row:
        """The row that was written as these columns."""
        timers = _TIMERS.validate_json(columns["timers"])
        return cls(columns["state"], timers, columns["error"], columns["held"])

    def columns(self) -> dict[str, Any]:
        """The row as columns."""
        timers = _TIMERS.dump_json(self.timers).decode()
        return {"state": self.state, "timers": timers, "error": self.error, "held": self.held}
