"""The embedded hub: one SQLite file that any number of threads and processes share."""

from __future__ import annotations

import os
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from vagus.errors import Fenced
from vagus.hub import rules
from vagus.hub.contract import Acks, Hub, Member, MemberOptions, Reader, TopicConfig, Transaction
from vagus.hub.local import groups, log, topics
from vagus.hub.local.background import Background
from vagus.hub.local.backup import backup
from vagus.hub.local.check import CheckReport, check
from vagus.hub.local.checkpointer import Checkpointer
from vagus.hub.local.committer import Committer
from vagus.hub.local.housekeeping import Housekeeper
from vagus.hub.local.member import LocalMember
from vagus.hub.local.reader import LocalReader
from vagus.hub.local.signal import Signal
from vagus.hub.local.storage import Storage
from vagus.hub.local.tail import Tail
from vagus.hub.local.transaction import LocalTransaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence, Set

    from vagus.hub.contract import At, GroupInfo, Rebalanced, TopicInfo
    from vagus.hub.records import Records, TopicPartition

T = TypeVar("T")

_open_hubs: weakref.WeakSet[LocalHub] = weakref.WeakSet()
_abandoned: list[object] = []


@dataclass(frozen=True, slots=True)
class HubInfo:
    """A hub at a glance: its file (with the write-ahead log), format, and what it holds."""

    url: str
    format: int
    file_bytes: int
    free_bytes: int
    topics: int
    partitions: int
    batches: int
    records: int
    record_bytes: int
    groups: int


class LocalHub(Hub):
    """A hub in one file, or in memory.

    In memory (`:memory:`) it has no threads, and with a clock of one's own it never waits.

    >>> from vagus.hub import Records, TopicConfig, TopicPartition
    >>> hub = LocalHub(":memory:")
    >>> hub.create_topic("greeting", TopicConfig())
    >>> place = TopicPartition("greeting", 0)
    >>> hub.append([(place, Records.of([None], [b"hello"], [0]))])
    [0]
    >>> [records.values.to_list() for records in hub.reader({place: 0}).read()]
    [[b'hello']]
    >>> hub.close()
    """

    def __init__(self, path: str, *, clock: Callable[[], float] = time.time) -> None:
        self._url = path
        self.clock = clock
        self._pid = os.getpid()
        self._closed = False
        self._mutex = threading.Lock()
        self._readers: weakref.WeakSet[LocalReader] = weakref.WeakSet()
        self._members: set[LocalMember] = set()
        self._found: set[TopicPartition] = set()
        self.storage = Storage(path)
        self.waits = not self.storage.in_memory or clock is time.time
        self.signal = Signal()
        self.tail = Tail()
        self.committer = Committer(self.storage, self.signal, self.tail)
        self.checkpointer = Checkpointer(self.storage, self.committer)
        self.housekeeper = Housekeeper(self)
        self._background: Background | None = None
        if not self.storage.in_memory:
            self.signal.watch(self.storage)
            self._background = Background(self)
            self._background.start()
        _open_hubs.add(self)

    @property
    def url(self) -> str:
        return self._url

    @property
    def id(self) -> str:
        self.check_usable()
        return self.storage.id()

    # Topics

    def create_topic(self, name: str, config: TopicConfig) -> None:
        rules.check_name(name)
        rules.check_config(config)

        def write(db: sqlite3.Connection) -> None:
            topics.create(db, name, config)
            groups.rebalance_readers(db, name)

        self._write(write)

    def topics(self) -> list[str]:
        return self._read(topics.names)

    def describe_topic(self, name: str) -> TopicInfo:
        return self._read(lambda db: topics.describe(db, name))

    def alter_topic(self, name: str, config: TopicConfig, *, force: bool = False) -> None:
        rules.check_config(config)

        def write(db: sqlite3.Connection) -> None:
            before = topics.describe(db, name).config.partitions
            topics.alter(db, name, config, force=force)
            if config.partitions != before:
                groups.rebalance_readers(db, name)

        self._write(write)

    def delete_topic(self, name: str) -> None:
        def write(db: sqlite3.Connection) -> None:
            topics.delete(db, name)
            groups.rebalance_readers(db, name)

        self._write(write)
        self._found.clear()

    def trim(self, positions: Mapping[TopicPartition, int]) -> None:
        def write(db: sqlite3.Connection) -> None:
            for partition, offset in positions.items():
                topics.trim(db, partition, offset)

        self._write(write)

    # Events

    def wipe(self, topic: str) -> None:
        self.describe_topic(topic)
        self.housekeeper.wipe(topic)
        self.checkpointer.cut()

    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, acks: Acks = "all"
    ) -> list[int]:
        self.check_usable()
        encoded, nbytes = log.encode(batches)
        touches = {partition for partition, _ in encoded}
        written_at = self.now_ms()
        newest: log.Newest = {}

        def write(db: sqlite3.Connection) -> list[int]:
            return log.append(db, encoded, written_at, newest)

        if acks != "none":
            return self.committer.submit(
                write, sync=acks == "all", nbytes=nbytes, touches=touches, newest=newest
            )
        self._read(lambda db: [topics.place(db, partition) for partition in touches])
        self.committer.post(write, nbytes, touches)
        if self._background is None:
            self.committer.flush()
        else:
            self._background.nudge()
        return [-1] * len(encoded)

    def offsets(self, partitions: Iterable[TopicPartition], at: At) -> dict[TopicPartition, int]:
        wanted = list(partitions)
        return self._read(lambda db: {tp: log.offset_at(db, tp, at) for tp in wanted})

    def reader(self, positions: Mapping[TopicPartition, int]) -> Reader:
        self._read(lambda db: [topics.place(db, partition) for partition in positions])
        reader = LocalReader(self, positions)
        self._readers.add(reader)
        return reader

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
        member = LocalMember(
            self,
            group,
            wanted,
            MemberOptions(start, on_assigned, on_revoked, session_timeout_s, client_id),
        )
        with self._mutex:
            self._members.add(member)
        return member

    def groups(self) -> list[str]:
        return self._read(groups.names)

    def describe_group(self, name: str) -> GroupInfo:
        return self._read(lambda db: groups.describe(db, name, self.clock()))

    def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        wanted = set(partitions)
        stored = self._read(lambda db: groups.positions(db, group))
        return {tp: at for tp, at in stored.items() if tp in wanted}

    def reset_group(self, name: str, positions: Mapping[TopicPartition, int]) -> None:
        self._write(lambda db: groups.reset(db, name, positions, self.clock()))

    def begin(self, transactional_id: str) -> Transaction:
        return LocalTransaction(self, self._write(_fence(transactional_id)))

    def close(self) -> None:
        if self._closed or os.getpid() != self._pid:
            return
        for reader in [*self._readers, *self.members()]:
            reader.close()
        if self._background is not None:
            self._background.stop()
        self.committer.flush()
        self._closed = True
        self.signal.close()
        self.storage.close()

    # What only this hub has

    def info(self) -> HubInfo:
        """Size, format and contents."""
        self.check_usable()
        file_bytes = self.storage.file_bytes()

        def read(db: sqlite3.Connection) -> HubInfo:
            def one(statement: str) -> int:
                found: int = db.execute(statement).fetchone()[0]
                return found

            return HubInfo(
                url=self._url,
                format=one("PRAGMA user_version"),
                file_bytes=file_bytes,
                free_bytes=one("PRAGMA freelist_count") * one("PRAGMA page_size"),
                topics=one("SELECT count(*) FROM topic"),
                partitions=one("SELECT count(*) FROM partition"),
                batches=one(
                    "SELECT count(*) FROM batch b JOIN partition p ON p.id = b.partition_id"
                ),
                records=one(
                    "SELECT coalesce(sum(b.count), 0) FROM batch b"
                    " JOIN partition p ON p.id = b.partition_id"
                ),
                record_bytes=one("SELECT coalesce(sum(nbytes), 0) FROM partition"),
                groups=one("SELECT count(*) FROM consumer_group"),
            )

        return self._read(read)

    def housekeep(self) -> None:
        """Pack, expire, compact and give space back now, instead of some time soon.

        Waits if another process is at it. Raises HubUnavailable if that takes too long.
        """
        self.check_usable()
        self.housekeeper.run()
        self.checkpointer.run()

    def check(self, progress: Callable[[int, int], None] | None = None) -> CheckReport:
        """Read everything and say what is damaged. `progress` gets batches done and in all."""
        self.check_usable()
        return check(self.storage, progress)

    def backup(self, path: str, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the hub, as it is at this moment, to a new file; others may go on writing.

        The copy is checked, and only then gets its name. It is a hub of its own, with another
        `id`: what goes on in both is not the same. `progress` gets pages done and in all.
        Raises HubError if there is a file already, HubUnavailable if there is no room.
        """
        self.check_usable()
        backup(self.storage, path, progress)

    def require(self, partitions: Set[TopicPartition]) -> None:
        """Raises UnknownTopic if one of the partitions was never there.

        One that is gone since then is refused by whatever writes to it.
        """
        if not partitions <= self._found:
            self._read(lambda db: [topics.place(db, partition) for partition in partitions])
            self._found |= partitions

    def now_ms(self) -> int:
        """The hub's clock in milliseconds."""
        return int(self.clock() * 1000)

    def members(self) -> list[LocalMember]:
        """The members of groups that this process has."""
        with self._mutex:
            return list(self._members)

    def left(self, member: LocalMember) -> None:
        """A member has closed."""
        with self._mutex:
            self._members.discard(member)

    def check_usable(self) -> None:
        """Raises HubError if the hub is closed, or was opened before a fork."""
        rules.check_usable(self._url, self._pid, closed=self._closed)

    def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        self.check_usable()
        with self.storage.reading() as db:
            return look(db)

    def _write(self, write: Callable[[sqlite3.Connection], T]) -> T:
        self.check_usable()
        return self.committer.submit(write)


def _fence(
    transactional_id: str,
) -> Callable[
    [sqlite3.Connection],
    Callable[[sqlite3.Connection, Mapping[TopicPartition, int]], None],
]:
    """Begins a new epoch of a writer; gives what checks that it is still the newest."""

    def begin(
        db: sqlite3.Connection,
    ) -> Callable[[sqlite3.Connection, Mapping[TopicPartition, int]], None]:
        (epoch,) = db.execute(
            "INSERT INTO writer (id, epoch) VALUES (?, 1)"
            " ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
            (transactional_id,),
        ).fetchone()

        def guard(db: sqlite3.Connection, _: Mapping[TopicPartition, int]) -> None:
            (newest,) = db.execute(
                "SELECT epoch FROM writer WHERE id = ?", (transactional_id,)
            ).fetchone()
            if newest != epoch:
                raise Fenced(
                    f"expected the newest transaction of {transactional_id!r}, got an older one",
                    where="commit",
                    hint="another writer has begun since: read again, decide again, try again",
                )

        return guard

    return begin


def _after_fork() -> None:
    # The child must neither use nor close what it shares with its parent: SQLite's locks belong
    # to a process, its connections don't know that they have a new one.
    for hub in list(_open_hubs):
        _abandoned.append(hub.storage.abandon())
        _abandoned.append(hub)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
