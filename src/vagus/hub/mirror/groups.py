"""Groups' positions, moved to the offsets of the copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.mirror.stretch import to_target

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vagus.hub.contract import Hub
    from vagus.hub.mirror.logbook import Logbook
    from vagus.hub.records import TopicPartition

__all__ = ["positions_of", "put"]

Positions = dict[str, dict["TopicPartition", int]]


def positions_of(source: Hub, partitions: Collection[TopicPartition]) -> Positions:
    """Where the source's groups are in these partitions."""
    found: Positions = {}
    for name in source.groups():
        at = source.committed(name, partitions)
        if at:
            found[name] = at
    return found


def put(target: Hub, logbook: Logbook, positions: Positions) -> int:
    """Put groups of the target before the copies of what they have not read; how many moved.

    All up to the positions must have been copied. Raises HubError where a group has members, or
    has read on in the target by itself.
    """
    moved = 0
    for group, wanted in positions.items():
        now = target.committed(group, wanted)
        steps = {tp: to_target(logbook.stretches(tp), at) for tp, at in wanted.items()}
        _check_unmoved(group, now, logbook)
        steps = {tp: at for tp, at in steps.items() if now.get(tp) != at}
        if not steps:
            continue
        logbook.give(group, {tp: {"before": now.get(tp), "to": at} for tp, at in steps.items()})
        target.reset_group(group, steps)
        moved += 1
    return moved


def _check_unmoved(group: str, now: Mapping[TopicPartition, int], logbook: Logbook) -> None:
    for tp, at in now.items():
        given = logbook.given.get((group, tp), {})
        if at not in given.values():
            raise HubError(
                f"expected no position but the mirror's, got {at}",
                where=f"group {group}, {tp.topic}[{tp.partition}] in the target",
                hint="it has read there by itself; mirror without --groups, or without the topic",
            )
