"""What a running application counts."""

from __future__ import annotations

import threading
from collections import Counter


class Metrics:
    """Counters by name and label, added to by workers and read by anybody.

    >>> metrics = Metrics()
    >>> metrics.add("records_in", "bus-position", 3)
    >>> metrics.snapshot()
    {('records_in', 'bus-position'): 3}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, name: str, label: str, count: int = 1) -> None:
        """Count `count` more."""
        if count:
            with self._lock:
                self._counts[name, label] += count

    def merge(self, other: Metrics) -> None:
        """Add all that another counted."""
        for (name, label), count in other.snapshot().items():
            self.add(name, label, count)

    def snapshot(self) -> dict[tuple[str, str], int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)

    def count(self, name: str, label: str | None = None) -> int:
        """One count; without a label, the sum over all."""
        return sum(
            count
            for (known, at), count in self.snapshot().items()
            if known == name and label in (None, at)
        )
