"""A cluster of Apache Kafka as a hub."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Literal

from vagus.hub import rules
from vagus.hub.contract import Acks, Hub, Member, MemberOptions, Reader, TopicConfig, Transaction
from vagus.hub.kafka.admin import Admin
from vagus.hub.kafka.appender import Appender
from vagus.hub.kafka.clients import Clients
from vagus.hub.kafka.groups import Groups
from vagus.hub.kafka.member import KafkaMember, OldGroups
from vagus.hub.kafka.reader import KafkaReader
from vagus.hub.kafka.transaction import KafkaTransaction, Writer
from vagus.hub.reading import read_all
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vagus.hub.contract import At, GroupInfo, Rebalanced, TopicInfo
    from vagus.hub.kafka.settings import KafkaSettings
    from vagus.hub.records import Records

_KEYS_LOOKED_AT = 1000  # of each partition, when partitions are to be added
_BROKERS_SESSION_S = 45.0  # what brokers are set to, unless somebody changed it
_open_hubs: weakref.WeakSet[KafkaHub] = weakref.WeakSet()


class KafkaHub(Hub):
    """A cluster. Raises HubUnavailable if it doesn't answer, HubError for unknown properties."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._url = settings.url
        self._pid = os.getpid()
        self._closed = False
        self._mutex = threading.Lock()
        self._readers: weakref.WeakSet[KafkaReader] = weakref.WeakSet()
        self._members: set[KafkaMember] = set()
        self._writers: weakref.WeakSet[Writer] = weakref.WeakSet()
        self.clients = Clients(settings)
        self.admin = Admin(self.clients, settings)
        self.groups_ = Groups(self.admin, self.clients)
        self._appender = Appender(self.clients, self.admin)
        self.admin.check()
        wanted = settings.properties.get("group.protocol", "consumer")
        self.modern_groups = wanted == "consumer" and self.admin.has("ConsumerGroupHeartbeat")
        _open_hubs.add(self)

    @property
    def url(self) -> str:
        return self._url

    @property
    def id(self) -> str:
        self.check_usable()
        return self.admin.cluster_id()

    @property
    def in_doubt(self) -> bool:
        return True

    @property
    def commit_interval_s(self) -> float:
        return 0.1

    # Topics

    def create_topic(self, name: str, config: TopicConfig) -> None:
        self.check_usable()
        rules.check_name(name)
        rules.check_config(config)
        self.admin.create(name, config)

    def topics(self) -> list[str]:
        self.check_usable()
        return sorted(self.admin.topics())

    def describe_topic(self, name: str) -> TopicInfo:
        self.check_usable()
        return self.admin.describe(name)

    def alter_topic(self, name: str, config: TopicConfig, *, force: bool = False) -> None:
        self.check_usable()
        rules.check_config(config)
        now = self.admin.count(name, fresh=True)
        rules.check_partitions(
            name, now, config.partitions, lambda: not force and self._has_keys(name, now)
        )
        self.admin.alter(name, config)

    def delete_topic(self, name: str) -> None:
        self.check_usable()
        self.admin.delete(name)

    def trim(self, positions: Mapping[TopicPartition, int]) -> None:
        self.check_usable()
        self.admin.trim({TopicPartition(*tp): at for tp, at in positions.items()})

    # Events

    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, acks: Acks = "all"
    ) -> list[int]:
        self.check_usable()
        return self._appender.append([(TopicPartition(*tp), part) for tp, part in batches], acks)

    def offsets(self, partitions: Iterable[TopicPartition], at: At) -> dict[TopicPartition, int]:
        self.check_usable()
        return self.admin.offsets(partitions, at)

    def reader(self, positions: Mapping[TopicPartition, int]) -> Reader:
        self.check_usable()
        self.admin.require(positions)
        made = KafkaReader.of(self, positions)
        self._readers.add(made)
        return made

    # Groups and transactions

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
        self.check_usable()
        wanted = rules.check_group(group, topics, session_timeout_s)
        for topic in sorted(wanted):
            self.admin.count(topic)
        options = MemberOptions(start, on_assigned, on_revoked, session_timeout_s, client_id)
        try:
            return self._join(group, wanted, options)
        except OldGroups:
            self.modern_groups = False
            return self._join(group, wanted, options)

    def _join(self, group: str, topics: Iterable[str], options: MemberOptions) -> Member:
        if self.modern_groups and options.session_timeout_s != _BROKERS_SESSION_S:
            self.groups_.set_session(group, options.session_timeout_s)
        member = KafkaMember(self, group, topics, options)
        with self._mutex:
            self._members.add(member)
        try:
            member.join()
        except BaseException:
            member.close()
            raise
        return member

    def groups(self) -> list[str]:
        self.check_usable()
        return self.groups_.names()

    def describe_group(self, name: str) -> GroupInfo:
        self.check_usable()
        return self.groups_.describe(name)

    def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        self.check_usable()
        return self.groups_.committed(group, partitions)

    def reset_group(self, name: str, positions: Mapping[TopicPartition, int]) -> None:
        self.check_usable()
        self.groups_.reset(name, positions)

    def begin(self, transactional_id: str) -> Transaction:
        self.check_usable()
        writer = Writer(self, transactional_id)
        self._writers.add(writer)
        return KafkaTransaction(self, writer, done=writer.close)

    def close(self) -> None:
        if self._closed or os.getpid() != self._pid:
            return
        for reader in [*self._readers, *self.members()]:
            reader.close()
        for writer in list(self._writers):
            writer.close()
        self._appender.close()
        self._closed = True

    # For the parts of a hub

    def members(self) -> list[KafkaMember]:
        """The members of groups that this process has."""
        with self._mutex:
            return list(self._members)

    def left(self, member: KafkaMember) -> None:
        """A member has closed."""
        with self._mutex:
            self._members.discard(member)

    def check_usable(self) -> None:
        """Raises HubError if the hub is closed, or was opened before a fork."""
        rules.check_usable(self._url, self._pid, closed=self._closed)

    def _has_keys(self, topic: str, count: int) -> bool:
        """Whether there are keys among the first events of each partition."""
        for number in range(count):
            seen = 0
            for read in read_all(self, [TopicPartition(topic, number)]):
                if read.keys.null_count < len(read):
                    return True
                seen += len(read)
                if seen >= _KEYS_LOOKED_AT:
                    break
        return False


@atexit.register
def _close_all() -> None:
    # A consumer that nobody closed would wait for ever, at the end of the process, to be told that
    # it may leave its group.
    for hub in list(_open_hubs):
        hub.close()
