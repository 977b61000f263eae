"""What every hub does, in bytes.

This is all that the layers above know of a hub. `tests/contract/` states it as tests, and every
implementation passes the same ones. Nothing is promised here that Apache Kafka doesn't do:
offsets only grow but may have gaps, timestamps are milliseconds, an append to several partitions
is atomic only within a transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    import numpy as np
    from numpy.typing import NDArray

    from vagus.hub.records import FetchedRecords, Records, TopicPartition

Acks = Literal["none", "leader", "all"]
"""How long an append waits: not at all; until it is safe from a crash of the process; until it is
safe from a loss of power (on Kafka: until all in-sync replicas have it)."""

Cleanup = Literal["delete", "compact", "compact,delete"]
"""What may be removed from a topic: old events, superseded events of a key, or both."""

At = Literal["earliest", "latest"] | int
"""A place in a topic: its first event, its end, or the first event at or after a time in ms."""


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """How a topic is kept.

    `retention_s` and `retention_bytes` (of one partition) apply where `cleanup` has "delete";
    None keeps events for ever. `tombstone_retention_s` is how long a deletion stays readable in a
    compacted topic, so that slow readers hear of it.
    """

    partitions: int = 1
    cleanup: Cleanup = "delete"
    retention_s: float | None = None
    retention_bytes: int | None = None
    tombstone_retention_s: float = 86_400.0


@dataclass(frozen=True, slots=True)
class PartitionInfo:
    """Where one partition begins and ends, as offsets in [start_offset, end_offset).

    `nbytes` is its size, None where the hub doesn't tell.
    """

    partition: int
    start_offset: int
    end_offset: int
    nbytes: int | None


@dataclass(frozen=True, slots=True)
class TopicInfo:
    """A topic as the hub knows it."""

    name: str
    config: TopicConfig
    partitions: tuple[PartitionInfo, ...]


@dataclass(frozen=True, slots=True)
class MemberInfo:
    """A member of a consumer group and what it owns now."""

    member_id: str
    client_id: str
    assignment: frozenset[TopicPartition]


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A consumer group: its members, and for each partition its position and the topic's end.

    `generation` is None where the hub doesn't tell.
    """

    name: str
    generation: int | None
    members: tuple[MemberInfo, ...]
    positions: Mapping[TopicPartition, int]
    ends: Mapping[TopicPartition, int]

    @property
    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets lie between each position and the end."""
        return {tp: max(0, self.ends[tp] - at) for tp, at in self.positions.items()}


class Closing(ABC):
    """Something that is closed at the end of a `with`."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Reader(Closing):
    """Reads partitions from positions of its own. Used by one thread at a time."""

    @abstractmethod
    def read(
        self, *, max_records: int = 65_536, max_bytes: int = 8 << 20, wait_s: float = 0.0
    ) -> list[FetchedRecords]:
        """The next committed records, at most one batch for each partition, positions moved on.

        Waits up to `wait_s` for the first record, or until a position has moved on without one
        (past what was aborted, or compacted away, at the end of a partition). A bound is met to
        within one stored batch, and at least one record is returned if there is one; partitions
        take turns, so that none starves. Raises OffsetOutOfRange where a position is no longer
        kept, CorruptBatch where stored bytes are damaged.
        """

    @abstractmethod
    def positions(self) -> dict[TopicPartition, int]:
        """The offset that is read next, for each partition."""

    @abstractmethod
    def ends(self) -> dict[TopicPartition, int]:
        """The end of each partition as of the last `read` (its start, before the first)."""

    @abstractmethod
    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from `offset`."""

    @abstractmethod
    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Leave these partitions out of `read` until they are resumed."""

    @abstractmethod
    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Read these partitions again."""

    @abstractmethod
    def wakeup(self) -> None:
        """Make a waiting `read`, or the next one, return at once. May be called by any thread."""


Then = Callable[
    [Mapping["TopicPartition", "NDArray[np.int64]"]], Sequence[tuple["TopicPartition", "Records"]]
]
"""Given where outputs came to lie, makes further outputs."""


class Transaction(ABC):
    """Outputs and positions that become visible together, or not at all."""

    @abstractmethod
    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, located: bool = False
    ) -> None:
        """Add outputs. Nobody sees them before the commit.

        The commit tells its `then` the offsets of those that are `located`.
        """

    @abstractmethod
    def commit(
        self, positions: Mapping[TopicPartition, int] | None = None, *, then: Then | None = None
    ) -> None:
        """Make the outputs visible and move the group's positions on, in one step.

        `positions` are the offsets to be read next; only a member's transaction has them. `then`
        is called once with the offsets of the located outputs, for each partition in the order in
        which they were appended, and what it returns is written in the same step; what it raises
        is raised, and nothing was written. On return all is as durable as `acks="all"` makes it.
        Raises Fenced if this member was replaced (its session ended, or a newer transaction of
        the same id began); then nothing was written.
        """

    @abstractmethod
    def abort(self) -> None:
        """Forget the outputs. May follow a failed commit, and may be called twice."""


Rebalanced = Callable[[Collection["TopicPartition"]], None]


@dataclass(frozen=True, slots=True)
class MemberOptions:
    """What `Hub.join` was asked for."""

    start: Literal["earliest", "latest"]
    on_assigned: Rebalanced | None
    on_revoked: Rebalanced | None
    session_timeout_s: float
    client_id: str


class Member(Reader):
    """A reader whose partitions are shared out among the members of a consumer group.

    The same partition number of all the topics that a group reads together goes to one member,
    and a partition goes to its next owner only after the last one has let go of it, or has been
    silent for the session timeout. The callbacks given to `Hub.join` run inside `read`, on its
    thread: `on_revoked` before partitions are given up (so that work can still be committed),
    `on_assigned` before the first record of a new partition is returned. A new partition starts
    at the group's committed position, or else at the place that `join` was given.
    """

    @property
    @abstractmethod
    def assignment(self) -> frozenset[TopicPartition]:
        """The partitions that this member owns."""

    @property
    @abstractmethod
    def generation(self) -> int:
        """Grows with each change of the group's members."""

    @abstractmethod
    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        """Store positions (the offsets to be read next). Raises Fenced like a transaction."""

    @abstractmethod
    def begin(self) -> Transaction:
        """A transaction for outputs and this member's positions. One at a time."""


class Hub(Closing):
    """Where topics live. Safe to use from several threads."""

    @property
    @abstractmethod
    def url(self) -> str:
        """What `vagus.hub.connect` was given to reach this hub."""

    @property
    @abstractmethod
    def id(self) -> str:
        """What tells this hub from all others, even from one made later at the same address."""

    @property
    def in_doubt(self) -> bool:
        """Whether a transaction's commit that failed may have happened all the same."""
        return False

    @property
    def commit_interval_s(self) -> float:
        """How long a worker is to gather work for one commit: 0 where a commit costs little."""
        return 0.0

    # Topics

    @abstractmethod
    def create_topic(self, name: str, config: TopicConfig) -> None:
        """Make a topic. Raises TopicExists; HubError if name or config is not allowed."""

    @abstractmethod
    def topics(self) -> list[str]:
        """The names of all topics, sorted."""

    @abstractmethod
    def describe_topic(self, name: str) -> TopicInfo:
        """The topic's configuration and extent. Raises UnknownTopic."""

    @abstractmethod
    def alter_topic(self, name: str, config: TopicConfig, *, force: bool = False) -> None:
        """Give a topic a new configuration.

        Partitions may be added, never taken away. Adding some to a topic that has events with
        keys is refused without `force`, since a key's later events would go to another partition
        than its earlier ones.
        """

    @abstractmethod
    def delete_topic(self, name: str) -> None:
        """Remove a topic and its events. Raises UnknownTopic."""

    @abstractmethod
    def trim(self, positions: Mapping[TopicPartition, int]) -> None:
        """Give up the events before these offsets, whatever the topics' retention.

        For events that have served their purpose. A position beyond the end stands for the end.
        Raises UnknownTopic.
        """

    def wipe(self, topic: str) -> None:
        """Compact a topic at once, and leave no trace of what was superseded, where that can be.

        Otherwise the hub's own compaction removes it in time. Raises UnknownTopic.
        """
        self.describe_topic(topic)

    # Events

    @abstractmethod
    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, acks: Acks = "all"
    ) -> list[int]:
        """Append records; the offset of each batch's first one (-1 with `acks="none"`).

        Raises UnknownTopic for a topic or partition that isn't there.
        """

    @abstractmethod
    def offsets(self, partitions: Iterable[TopicPartition], at: At) -> dict[TopicPartition, int]:
        """The offset of a place in each partition; the end if no event is that late."""

    @abstractmethod
    def reader(self, positions: Mapping[TopicPartition, int]) -> Reader:
        """Read partitions from the given offsets, outside any group."""

    # Groups and transactions

    @abstractmethod
    def join(
        self,
        group: str,
        topics: Iterable[str],
        *,
        start: Literal["earliest", "latest"] = "earliest",
        on_assigned: Rebalanced | None = None,
        on_revoked: Rebalanced | None = None,
        session_timeout_s: float = 45.0,
        client_id: str = "",
    ) -> Member:
        """Become a member of a consumer group that reads `topics`. Raises UnknownTopic."""

    @abstractmethod
    def groups(self) -> list[str]:
        """The names of all groups, sorted."""

    @abstractmethod
    def describe_group(self, name: str) -> GroupInfo:
        """Members, positions and lag. Raises UnknownGroup."""

    @abstractmethod
    def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """The group's committed positions; partitions without one are left out."""

    @abstractmethod
    def reset_group(self, name: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set committed positions. Refused (HubError) while the group has members."""

    @abstractmethod
    def begin(self, transactional_id: str) -> Transaction:
        """A transaction without input positions.

        Beginning one fences every earlier transaction of the same id that is still open, so that
        of several writers that read, decide and write under one id, one at a time succeeds.
        """

    @abstractmethod
    def close(self) -> None:
        """Finish pending appends and let go of everything. May be called twice."""
