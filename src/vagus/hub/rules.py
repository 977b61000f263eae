"""What a topic may be called, and how it may be kept: the same on every hub."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from vagus.errors import HubError
from vagus.hub.contract import Cleanup

if TYPE_CHECKING:
    from vagus.hub.contract import TopicConfig

PARTITIONS_MAX = 10_000

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,249}")


def check_name(name: str) -> None:
    """Refuse what Kafka refuses."""
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise HubError(
            f"expected a topic name of letters, digits, '.', '_' and '-', got {name!r}",
            where="topic name",
            hint="at most 249 characters, and neither '.' nor '..'",
        )


def check_config(config: TopicConfig) -> None:
    """Refuse a configuration that makes no sense."""
    problems: list[tuple[bool, str, Any]] = [
        (
            1 <= config.partitions <= PARTITIONS_MAX,
            f"1 to {PARTITIONS_MAX} partitions",
            config.partitions,
        ),
        (config.cleanup in get_args(Cleanup), f"one of {get_args(Cleanup)}", config.cleanup),
        (
            config.retention_s is None or config.retention_s > 0,
            "a retention_s above 0, or None",
            config.retention_s,
        ),
        (
            config.retention_bytes is None or config.retention_bytes > 0,
            "a retention_bytes above 0, or None",
            config.retention_bytes,
        ),
        (
            config.tombstone_retention_s >= 0,
            "a tombstone_retention_s of 0 or more",
            config.tombstone_retention_s,
        ),
    ]
    for fine, expected, got in problems:
        if not fine:
            raise HubError(f"expected {expected}, got {got!r}", where="topic configuration")
