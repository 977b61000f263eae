"""What may be asked of a hub: the same of every one."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, get_args

from vagus.errors import HubError
from vagus.hub.contract import Cleanup

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from vagus.hub.contract import TopicConfig
    from vagus.hub.records import TopicPartition

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


def check_partitions(topic: str, now: int, wanted: int, has_keys: Callable[[], bool]) -> None:
    """Refuse to take partitions away, and to add some to a topic that has events with keys."""
    if wanted < now:
        raise HubError(
            f"expected at least {now} partitions, got {wanted}",
            where=topic,
            hint="partitions can't be taken away; copy the events to a new topic",
        )
    if wanted > now and has_keys():
        raise HubError(
            f"expected {now} partitions, got {wanted}, for a topic that has events with keys",
            where=topic,
            hint="a key's later events would go to another partition than its earlier ones; "
            "force it, or copy the events to a new topic",
        )


def check_group(group: str, topics: Iterable[str], session_timeout_s: float) -> frozenset[str]:
    """Refuse a group that can't be; the topics that it is to read."""
    wanted = frozenset([topics] if isinstance(topics, str) else topics)
    if not group or not wanted:
        raise HubError(
            "expected the name of a group and at least one topic, "
            f"got {group!r} and {sorted(wanted)}"
        )
    if session_timeout_s <= 0:
        raise HubError(f"expected a session_timeout_s above 0, got {session_timeout_s}")
    return wanted


def check_bounds(max_records: int, max_bytes: int) -> None:
    """Refuse to read nothing."""
    if max_records < 1 or max_bytes < 1:
        raise HubError(
            f"expected bounds of at least 1, got {max_records} records, {max_bytes} bytes"
        )


def check_known(partition: TopicPartition, known: Container[TopicPartition]) -> None:
    """Refuse a partition that a reader doesn't read."""
    if partition not in known:
        raise HubError(
            f"expected a partition of this reader, got {partition.topic}[{partition.partition}]",
            hint="`positions` has the partitions that it reads",
        )


def check_offset(partition: TopicPartition, offset: int) -> None:
    """Refuse to read from a place that can't be."""
    if offset < 0:
        raise HubError(
            f"expected an offset of 0 or more, got {offset}",
            where=f"{partition.topic}[{partition.partition}]",
            hint="`Hub.offsets` gives the offset of the earliest event, the end, or a time",
        )


def check_usable(url: str, pid: int, *, closed: bool) -> None:
    """Refuse a hub that is closed, or that process `pid` opened, which is not this one."""
    if os.getpid() != pid:
        raise HubError(
            "expected a hub opened by this process, got one from before a fork",
            where=url,
            hint="connect again in the child process",
        )
    if closed:
        raise HubError("expected an open hub, got a closed one", where=url)


def check_reading(url: str, *, closed: bool) -> None:
    """Refuse a reader that is closed."""
    if closed:
        raise HubError("expected an open reader, got a closed one", where=url)


def check_transaction(*, is_open: bool) -> None:
    """Refuse a transaction that was committed or aborted."""
    if not is_open:
        raise HubError(
            "expected an open transaction, got one that is over",
            where="transaction",
            hint="begin another",
        )


def check_no_positions(positions: Container[TopicPartition] | None) -> None:
    """Refuse positions in a transaction that isn't a member's."""
    if positions:
        raise HubError(
            "expected no positions, got some",
            where="commit",
            hint="only the transaction of a group's member (`Member.begin`) has positions",
        )


def check_alone(group: str, *, is_open: bool) -> None:
    """Refuse a member's second transaction while its first is open."""
    if is_open:
        raise HubError(
            "expected no open transaction, got one",
            where=f"group {group}",
            hint="commit or abort it first; a member has one at a time",
        )
