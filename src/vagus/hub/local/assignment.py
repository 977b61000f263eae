"""Who reads what: a pure function from members and present owners to new owners.

The same partition number of all topics that the same members read together is one *share*, and
goes to one member. Shares stay where they are unless balance asks otherwise.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Mapping

Share = tuple[TopicPartition, ...]


def assign(
    subscriptions: Mapping[str, frozenset[str]],
    partitions: Mapping[str, int],
    owners: Mapping[TopicPartition, str],
) -> dict[TopicPartition, str]:
    """The member that is to have each partition.

    `subscriptions` are the topics of each member, `partitions` the number of partitions of each
    topic, `owners` who has a partition now (members that are gone are ignored).
    """
    target: dict[TopicPartition, str] = {}
    load: Counter[str] = Counter()
    for members, topics in _classes(subscriptions, partitions):
        shares = _shares(topics, partitions)
        held = _held(shares, owners, frozenset(members))
        for share, member in _spread(shares, members, held, load).items():
            load[member] += 1
            target.update(dict.fromkeys(share, member))
    return target


def _classes(
    subscriptions: Mapping[str, frozenset[str]], partitions: Mapping[str, int]
) -> list[tuple[list[str], list[str]]]:
    """Topics that have the very same readers, the ones with the fewest readers first."""
    readers: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for topic in sorted(partitions):
        members = tuple(sorted(m for m, topics in subscriptions.items() if topic in topics))
        if members:
            readers[members].append(topic)
    ordered = sorted(readers.items(), key=lambda item: (len(item[0]), item[0]))
    return [(list(members), topics) for members, topics in ordered]


def _shares(topics: list[str], partitions: Mapping[str, int]) -> list[Share]:
    most = max(partitions[topic] for topic in topics)
    return [
        tuple(TopicPartition(topic, number) for topic in topics if number < partitions[topic])
        for number in range(most)
    ]


def _held(
    shares: list[Share], owners: Mapping[TopicPartition, str], members: frozenset[str]
) -> dict[Share, str]:
    """Who has (most of) each share now."""
    held: dict[Share, str] = {}
    for share in shares:
        votes = Counter(owners[tp] for tp in share if owners.get(tp) in members)
        if votes:
            held[share] = max(sorted(votes), key=votes.__getitem__)
    return held


def _spread(
    shares: list[Share], members: list[str], held: dict[Share, str], load: Counter[str]
) -> dict[Share, str]:
    """Keep what is held up to a fair number, give the rest to whoever has least."""
    base, extra = divmod(len(shares), len(members))
    kept: defaultdict[str, list[Share]] = defaultdict(list)
    for share in shares:
        if share in held:
            kept[held[share]].append(share)
    # Members that hold most keep the larger quotas, so that fewest shares move.
    ranked = sorted(members, key=lambda m: (-len(kept[m]), load[m], m))
    quota = {member: base + (place < extra) for place, member in enumerate(ranked)}
    result: dict[Share, str] = {}
    for member in members:
        for share in kept[member][: quota[member]]:
            result[share] = member
    counts = Counter(result.values())
    for share in shares:
        if share not in result:
            member = min(members, key=lambda m: (counts[m] - quota[m], load[m], m))
            result[share] = member
            counts[member] += 1
    return result
