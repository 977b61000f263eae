"""A member of a consumer group."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from vagus.hub import rules
from vagus.hub.contract import Member
from vagus.hub.local import groups, topics
from vagus.hub.local.reader import LocalReader
from vagus.hub.local.transaction import LocalTransaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from vagus.hub.contract import MemberOptions, Transaction
    from vagus.hub.local.hub import LocalHub
    from vagus.hub.records import FetchedRecords, TopicPartition

POLL_INTERVAL_MAX_S = 300.0
"""A member that calls nothing for so long is taken to hang: its heartbeats stop."""


class LocalMember(LocalReader, Member):
    """A member of a group of the embedded hub."""

    def __init__(
        self,
        hub: LocalHub,
        group: str,
        subscription: frozenset[str],
        options: MemberOptions,
    ) -> None:
        super().__init__(hub, {})
        self.id = f"{options.client_id or 'member'}-{uuid.uuid4().hex[:12]}"
        self.group = group
        self.session_timeout_s = options.session_timeout_s
        self._options = options
        self._generation = 0
        self._epoch = -1
        self._transaction: LocalTransaction | None = None
        self.last_contact = hub.clock()
        self._touched = self.last_contact
        hub.committer.submit(
            lambda db: groups.join(
                db,
                group,
                groups.NewMember(
                    self.id, options.client_id, subscription, options.session_timeout_s
                ),
                hub.clock(),
            ),
            sync=False,
        )

    @property
    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    @property
    def generation(self) -> int:
        return self._generation

    @property
    def alive(self) -> bool:
        """Whether heartbeats are to be sent for this member."""
        return not self._closed and self._hub.clock() - self.last_contact < POLL_INTERVAL_MAX_S

    def commit(self, positions: Mapping[TopicPartition, int]) -> None:
        self._check_open()
        self._contact()
        moved = dict(positions)

        def write(db: sqlite3.Connection) -> None:
            self._guard(db, moved)
            groups.store_positions(db, self.group, moved)

        self._hub.committer.submit(write, touches=frozenset())

    def begin(self) -> Transaction:
        self._check_open()
        self._contact()
        rules.check_alone(
            self.group, is_open=self._transaction is not None and self._transaction.open
        )
        self._transaction = LocalTransaction(
            self._hub,
            self._guard,
            lambda db, moved: groups.store_positions(db, self.group, moved),
        )
        return self._transaction

    def close(self) -> None:
        if self._closed:
            return
        super().close()
        if self._transaction is not None:
            self._transaction.abort()
        self._hub.left(self)
        self._hub.committer.submit(lambda db: groups.leave(db, self.group, self.id), sync=False)

    def _contact(self) -> None:
        self.last_contact = self._hub.clock()

    def _guard(self, db: sqlite3.Connection, moved: Mapping[TopicPartition, int]) -> None:
        if self._closed:
            raise groups.fenced(self.group, self.id)
        groups.check_owner(db, self.group, self.id, moved)

    def _look(self, max_records: int, max_bytes: int) -> list[FetchedRecords]:
        self._contact()
        self._beat()
        with self._hub.storage.reading() as db:
            generation, epoch = groups.state(db, self.group, self.id)
            if epoch == self._epoch:
                return self._fetch(db, max_records, max_bytes)
            holdings = groups.holdings(db, self.group, self.id)
        self._generation = generation
        self._regroup(epoch, *holdings)
        return super()._look(max_records, max_bytes)

    def _regroup(
        self,
        epoch: int,
        kept: set[TopicPartition],
        lost: set[TopicPartition],
        free: set[TopicPartition],
    ) -> None:
        """Hear of the group's changes: let go of what was revoked, take what was assigned."""
        # What is neither kept nor lost belongs to a topic that has been deleted.
        gone = set(self._positions) - kept
        if gone:
            if self._options.on_revoked is not None:
                self._options.on_revoked(sorted(gone))
            self._hub.committer.submit(
                lambda db: groups.release(db, self.group, self.id, gone & lost), sync=False
            )
            for partition in gone:
                del self._positions[partition]
                self._paused.discard(partition)
                self._begun.pop(partition, None)
        if free:
            added = self._hub.committer.submit(self._claim, sync=False)
            self._positions.update(added)
            self._ends.update(added)
            if added and self._options.on_assigned is not None:
                self._options.on_assigned(sorted(added))
        if not gone and not free:
            self._epoch = epoch

    def _claim(self, db: sqlite3.Connection) -> dict[TopicPartition, int]:
        committed = groups.positions(db, self.group)
        found = {}
        for partition in groups.claim(db, self.group, self.id):
            place = topics.place(db, partition)
            first = place.start if self._options.start == "earliest" else place.end
            found[partition] = committed.get(partition, first)
        return found

    def _beat(self) -> None:
        """In memory, where no thread does it: be seen, and see who hasn't been."""
        now = self.last_contact
        if not self._hub.storage.in_memory or now == self._touched:
            return
        self._touched = now

        def write(db: sqlite3.Connection) -> None:
            groups.touch(db, [self.id], now)
            groups.expire(db, self.group, now)

        self._hub.committer.submit(write, sync=False)
