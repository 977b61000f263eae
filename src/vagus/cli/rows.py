"""Rows of an input, and where each came from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import EncodeError, VagusError

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Rows as a frame, and what each is called in the input: `line 17` or `row 17`.

    `_tombstone` marks deletions; other columns that begin with an underscore are not the event's.
    """

    frame: pl.DataFrame
    source: str
    unit: str
    numbers: Sequence[int]

    def at(self, row: int) -> str:
        """Where a row came from."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"

    def __len__(self) -> int:
        return self.frame.height

    def slice(self, start: int, count: int) -> Rows:
        """At most `count` rows, from `start` on."""
        frame = self.frame.slice(start, count)
        return Rows(frame, self.source, self.unit, self.numbers[start : start + count])

    def wrong(self, error: EncodeError) -> VagusError:
        """The error of rows as one of lines."""
        if not error.rows:
            return VagusError(error.message, where=self.source, hint=error.hint)
        message = re.sub(r",? ?(of|in)? row \d+.*$", "", error.message)
        more = len(error.rows) - 1
        message += f" ({more} more like it)" if more else ""
        return VagusError(message, where=self.at(min(error.rows)), hint=error.hint)
