"""Consumer groups, as rows. Every function works within its caller's transaction.

Each partition of a group has an owner, who reads it now, and a target, who is to have it. A
change of members changes the targets only. An owner that isn't the target lets go when it next
reads; a target takes what nobody owns. So no partition ever has two owners.

A group's epoch grows with every change of owners or targets; members look at it to see whether
there is anything to do. Its generation grows with every change of its members or targets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import Fenced, HubError, UnknownGroup, UnknownTopic
from vagus.hub.contract import GroupInfo, MemberInfo
from vagus.hub.local import topics
from vagus.hub.local.assignment import assign
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping


def names(db: sqlite3.Connection) -> list[str]:
    """All groups, sorted."""
    return [name for (name,) in db.execute("SELECT name FROM consumer_group ORDER BY name")]


@dataclass(frozen=True, slots=True)
class NewMember:
    """Who joins a group, to read what."""

    id: str
    client_id: str
    topics: frozenset[str]
    session_timeout_s: float


def join(db: sqlite3.Connection, group: str, member: NewMember, now: float) -> None:
    """Add a member and share the partitions out anew."""
    known = set(topics.names(db))
    for topic in sorted(member.topics):
        if topic not in known:
            raise UnknownTopic(topic, known)
    db.execute("INSERT OR IGNORE INTO consumer_group (name) VALUES (?)", (group,))
    db.execute(
        "INSERT INTO member (id, group_name, client_id, topics, session_timeout_s, last_seen)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (
            member.id,
            group,
            member.client_id,
            json.dumps(sorted(member.topics)),
            member.session_timeout_s,
            now,
        ),
    )
    expire(db, group, now)
    rebalance(db, group)


def leave(db: sqlite3.Connection, group: str, member: str) -> None:
    """Remove a member, if it is still there."""
    if db.execute("DELETE FROM member WHERE id = ?", (member,)).rowcount:
        rebalance(db, group)


def touch(db: sqlite3.Connection, members: Iterable[str], now: float) -> None:
    """These members are alive."""
    db.executemany("UPDATE member SET last_seen = ? WHERE id = ?", [(now, m) for m in members])


def expired(db: sqlite3.Connection, now: float) -> list[str]:
    """The groups with members that have been silent for too long."""
    return [
        group
        for (group,) in db.execute(
            "SELECT DISTINCT group_name FROM member WHERE last_seen + session_timeout_s < ?",
            (now,),
        )
    ]


def expire(db: sqlite3.Connection, group: str, now: float) -> None:
    """Remove the members of a group that have been silent for too long."""
    gone = db.execute(
        "DELETE FROM member WHERE group_name = ? AND last_seen + session_timeout_s < ?",
        (group, now),
    )
    if gone.rowcount:
        rebalance(db, group)


def rebalance(db: sqlite3.Connection, group: str) -> None:
    """Say anew who is to own what, after a change of members or topics."""
    subscriptions = _subscriptions(db, group)
    wanted = frozenset().union(*subscriptions.values())
    counts = dict(
        db.execute(
            "SELECT t.name, count(*) FROM topic t JOIN partition p ON p.topic_id = t.id"
            " GROUP BY t.name"
        )
    )
    owners: dict[TopicPartition, str] = {}
    targets: dict[TopicPartition, str | None] = {}
    for topic, number, owner, target in db.execute(
        "SELECT topic, number, owner, target FROM ownership WHERE group_name = ?", (group,)
    ):
        partition = TopicPartition(topic, number)
        targets[partition] = target
        if owner in subscriptions:
            owners[partition] = owner
    # A member that was promised a partition keeps the promise: else a second rebalance, before
    # the first one is done, would move more than it has to.
    held = {tp: m for tp, m in targets.items() if m in subscriptions} | {
        tp: m for tp, m in owners.items() if targets[tp] not in subscriptions
    }
    partitions = {topic: counts[topic] for topic in wanted if topic in counts}
    assigned = assign(subscriptions, partitions, held)
    db.execute("DELETE FROM ownership WHERE group_name = ?", (group,))
    db.executemany(
        "INSERT INTO ownership (group_name, topic, number, owner, target) VALUES (?, ?, ?, ?, ?)",
        [
            (group, tp.topic, tp.partition, owners.get(tp), assigned.get(tp))
            for tp in assigned.keys() | owners.keys()
        ],
    )
    db.execute(
        "UPDATE consumer_group SET generation = generation + 1, epoch = epoch + 1 WHERE name = ?",
        (group,),
    )


def rebalance_readers(db: sqlite3.Connection, topic: str) -> None:
    """Rebalance every group with a member that reads `topic`."""
    for (group,) in db.execute("SELECT DISTINCT group_name FROM member").fetchall():
        if any(topic in wanted for wanted in _subscriptions(db, group).values()):
            rebalance(db, group)


def state(db: sqlite3.Connection, group: str, member: str) -> tuple[int, int]:
    """Generation and epoch of the group. Raises Fenced if it has no such member."""
    row = db.execute(
        "SELECT g.generation, g.epoch FROM member m JOIN consumer_group g"
        " ON g.name = m.group_name WHERE m.id = ?",
        (member,),
    ).fetchone()
    if row is None:
        raise fenced(group, member)
    return row[0], row[1]


def holdings(
    db: sqlite3.Connection, group: str, member: str
) -> tuple[set[TopicPartition], set[TopicPartition], set[TopicPartition]]:
    """What a member owns and may keep, what it has to let go of, what it may take."""
    kept: set[TopicPartition] = set()
    lost: set[TopicPartition] = set()
    free: set[TopicPartition] = set()
    for topic, number, owner, target in db.execute(
        "SELECT topic, number, owner, target FROM ownership WHERE group_name = ?"
        " AND (owner = ? OR target = ?)",
        (group, member, member),
    ):
        partition = TopicPartition(topic, number)
        if owner == member:
            (kept if target == member else lost).add(partition)
        elif owner is None:
            free.add(partition)
    return kept, lost, free


def release(
    db: sqlite3.Connection, group: str, member: str, partitions: Iterable[TopicPartition]
) -> None:
    """Let go of partitions."""
    state(db, group, member)
    db.executemany(
        "UPDATE ownership SET owner = NULL WHERE group_name = ? AND topic = ? AND number = ?"
        " AND owner = ?",
        [(group, *tp, member) for tp in partitions],
    )
    db.execute("DELETE FROM ownership WHERE owner IS NULL AND target IS NULL")
    _advance(db, group)


def claim(db: sqlite3.Connection, group: str, member: str) -> set[TopicPartition]:
    """Take the partitions that are meant for this member and that nobody owns."""
    state(db, group, member)
    _, _, free = holdings(db, group, member)
    db.executemany(
        "UPDATE ownership SET owner = ? WHERE group_name = ? AND topic = ? AND number = ?"
        " AND owner IS NULL AND target = ?",
        [(member, group, *tp, member) for tp in free],
    )
    if free:
        _advance(db, group)
    return free


def check_owner(
    db: sqlite3.Connection, group: str, member: str, partitions: Iterable[TopicPartition]
) -> None:
    """Raises Fenced unless the member is alive and owns these partitions."""
    state(db, group, member)
    for partition in partitions:
        row = db.execute(
            "SELECT owner FROM ownership WHERE group_name = ? AND topic = ? AND number = ?",
            (group, *partition),
        ).fetchone()
        if row is None or row[0] != member:
            raise Fenced(
                f"expected to own {partition.topic}[{partition.partition}], "
                "got it owned by another member",
                where=f"group {group}",
                hint="commit only partitions of `assignment`",
            )


def store_positions(
    db: sqlite3.Connection, group: str, positions: Mapping[TopicPartition, int]
) -> None:
    """Set committed positions."""
    db.executemany(
        "INSERT INTO position (group_name, topic, number, next_offset) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
        [(group, *tp, offset) for tp, offset in positions.items()],
    )


def positions(db: sqlite3.Connection, group: str) -> dict[TopicPartition, int]:
    """All committed positions of a group."""
    return {
        TopicPartition(topic, number): offset
        for topic, number, offset in db.execute(
            "SELECT topic, number, next_offset FROM position WHERE group_name = ?"
            " ORDER BY topic, number",
            (group,),
        )
    }


def reset(
    db: sqlite3.Connection, group: str, wanted: Mapping[TopicPartition, int], now: float
) -> None:
    """Set committed positions of a group without members; it is made if it isn't there."""
    for partition, offset in wanted.items():
        topics.place(db, partition)
        if offset < 0:
            raise HubError(
                f"expected an offset of 0 or more, got {offset}",
                where=f"{partition.topic}[{partition.partition}]",
            )
    expire(db, group, now)
    members = _subscriptions(db, group)
    if members:
        raise HubError(
            f"expected a group without members, got one with {len(members)}",
            where=f"group {group}",
            hint="stop its workers first",
        )
    db.execute("INSERT OR IGNORE INTO consumer_group (name) VALUES (?)", (group,))
    store_positions(db, group, wanted)


def describe(db: sqlite3.Connection, group: str, now: float) -> GroupInfo:
    """Members that are alive, positions, and the ends of what they read."""
    row = db.execute("SELECT generation FROM consumer_group WHERE name = ?", (group,)).fetchone()
    if row is None:
        raise UnknownGroup(group, names(db))
    alive = db.execute(
        "SELECT id, client_id FROM member WHERE group_name = ?"
        " AND last_seen + session_timeout_s >= ? ORDER BY id",
        (group, now),
    ).fetchall()
    members = tuple(
        MemberInfo(
            member,
            client_id,
            frozenset(
                TopicPartition(*values)
                for values in db.execute(
                    "SELECT topic, number FROM ownership WHERE group_name = ? AND owner = ?",
                    (group, member),
                )
            ),
        )
        for member, client_id in alive
    )
    committed = positions(db, group)
    read = set(committed).union(*(member.assignment for member in members))
    return GroupInfo(
        name=group,
        generation=row[0],
        members=members,
        positions=committed,
        ends={tp: topics.place(db, tp).end for tp in sorted(read)},
    )


def fenced(group: str, member: str) -> Fenced:
    """The error for a member that is no more."""
    return Fenced(
        f"expected a living member, got {member}, whose session has ended",
        where=f"group {group}",
        hint="join again; what was read since the last commit will be read by another member",
    )


def _subscriptions(db: sqlite3.Connection, group: str) -> dict[str, frozenset[str]]:
    return {
        member: frozenset(json.loads(wanted))
        for member, wanted in db.execute(
            "SELECT id, topics FROM member WHERE group_name = ?", (group,)
        )
    }


def _advance(db: sqlite3.Connection, group: str) -> None:
    db.execute("UPDATE consumer_group SET epoch = epoch + 1 WHERE name = ?", (group,))
