"""Durations as people write them: "30s", "5m", "1h30m"."""

from __future__ import annotations

import re
from datetime import timedelta

from vagus.errors import DeclarationError

Duration = str | timedelta

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+)(ms|s|m|h|d)")


def duration_ms(duration: Duration) -> int:
    """A duration in whole milliseconds.

    >>> duration_ms("1h30m"), duration_ms(timedelta(seconds=2))
    (5400000, 2000)
    """
    if isinstance(duration, timedelta):
        return duration // timedelta(milliseconds=1)
    parts = _PART.findall(str(duration))
    if not parts or "".join(n + unit for n, unit in parts) != duration:
        raise DeclarationError(
            f"expected a duration such as '30s', '5m' or '1h30m', got {duration!r}",
            hint="the units are ms, s, m, h and d",
        )
    return sum(int(count) * _UNIT_MS[unit] for count, unit in parts)


def duration_text(ms: int) -> str:
    """Milliseconds as people write them.

    >>> duration_text(5_400_000)
    '1h30m'
    """
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, ms = divmod(ms, _UNIT_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0ms"
