"""What the contract suite needs of a hub under test, and short ways to say things.

A hub is added by a class with these methods and a line in conftest.py; the tests stay as they are.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.contract.cluster import clean, expel, expel_old
from tests.kafka.old import OldBroker
from vagus.hub import Hub, Member, Reader, Records, TopicPartition, connect
from vagus.hub.kafka.member import KafkaMember
from vagus.hub.local.member import LocalMember

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

PATIENCE_S = 30.0


class HubUnderTest(ABC):
    """One hub, to which any number of clients connect."""

    session_timeout_s = 45.0

    @abstractmethod
    def connect(self) -> Hub:
        """A client of its own, as another process would have."""

    @abstractmethod
    def silence(self, member: Member) -> None:
        """Make a member fall silent, as if its process had died, until its session is over."""

    @abstractmethod
    def close(self) -> None:
        """Close all clients."""


class MemoryHub(HubUnderTest):
    """The embedded hub in memory: a single client, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self._hub = connect(":memory:", clock=lambda: self.now)

    def connect(self) -> Hub:
        return self._hub

    def silence(self, member: Member) -> None:
        self.now += self.session_timeout_s + 1

    def close(self) -> None:
        self._hub.close()


class FileHub(HubUnderTest):
    """The embedded hub in a file."""

    session_timeout_s = 1.0

    def __init__(self, folder: Path) -> None:
        self._path = str(folder / "hub.db")
        self._hubs: list[Hub] = []

    def connect(self) -> Hub:
        self._hubs.append(connect(self._path))
        return self._hubs[-1]

    def silence(self, member: Member) -> None:
        assert isinstance(member, LocalMember)
        member.last_contact = float("-inf")

    def close(self) -> None:
        for hub in self._hubs:
            hub.close()


class ClusterUnderTest(HubUnderTest):
    """Kafka: what a test leaves is removed after it."""

    def __init__(self, cluster: Cluster | OldBroker) -> None:
        self._cluster = cluster
        self._hubs: list[Hub] = []

    def connect(self) -> Hub:
        self._hubs.append(connect(f"kafka://{self._cluster.bootstrap}"))
        return self._hubs[-1]

    def silence(self, member: Member) -> None:
        assert isinstance(member, KafkaMember)
        drop = expel_old if isinstance(self._cluster, OldBroker) else expel
        drop(self._cluster.bootstrap, member.group, member.id)

    def close(self) -> None:
        for hub in self._hubs:
            hub.close()
        clean(self._cluster.bootstrap)


def records(
    values: Sequence[bytes | None],
    keys: Sequence[bytes | None] | None = None,
    timestamps: Sequence[int] | None = None,
) -> Records:
    """Records of these values; keys null and timestamps 0, 1, 2 … unless given."""
    return Records.of(
        keys if keys is not None else [None] * len(values),
        values,
        timestamps if timestamps is not None else range(len(values)),
    )


def eventually(look: Callable[[], bool], what: str) -> None:
    """Wait until `look` says yes."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.005)


def read_values(reader: Reader, count: int) -> dict[TopicPartition, list[bytes | None]]:
    """Read on until there are `count` values."""
    found: dict[TopicPartition, list[bytes | None]] = {}
    deadline = time.monotonic() + PATIENCE_S
    while sum(map(len, found.values())) < count:
        assert time.monotonic() < deadline, f"expected {count} values, got {found}"
        for got in reader.read(wait_s=0.1):
            found.setdefault(got.partition, []).extend(got.values.to_list())
    return found


def all_values(
    hub: Hub, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, list[bytes | None]]:
    """Everything that is committed, from the beginning on."""
    wanted = list(partitions)
    found: dict[TopicPartition, list[bytes | None]] = {partition: [] for partition in wanted}
    ends = hub.offsets(wanted, "latest")
    with hub.reader(hub.offsets(wanted, "earliest")) as reader:
        deadline = time.monotonic() + PATIENCE_S
        while any(at < ends[partition] for partition, at in reader.positions().items()):
            assert time.monotonic() < deadline, f"expected to reach {ends}"
            for got in reader.read(wait_s=0.1):
                found[got.partition].extend(got.values.to_list())
    return found


def settle(members: Sequence[Member], wanted: Iterable[TopicPartition]) -> None:
    """Have members read until together they own exactly the partitions wanted.

    What they read meanwhile they will read again.
    """
    partitions = frozenset(wanted)
    working = min(len(members), len({number for _, number in partitions}))
    calm = 0
    deadline = time.monotonic() + PATIENCE_S
    while calm < 3:
        assert time.monotonic() < deadline, [sorted(member.assignment) for member in members]
        before = [member.assignment for member in members]
        for member in members:
            for got in member.read(wait_s=0.01):
                member.seek(got.partition, int(got.offsets[0]))
        after = [member.assignment for member in members]
        whole = frozenset().union(*after) == partitions
        disjoint = sum(map(len, after)) == len(partitions)
        shared = sum(map(bool, after)) == working
        calm = calm + 1 if before == after and whole and disjoint and shared else 0


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Start a thread."""
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread
