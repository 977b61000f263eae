"""Outputs and positions in one atomic step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.contract import Transaction
from vagus.hub.local import log, topics
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from vagus.hub.local.hub import LocalHub
    from vagus.hub.records import Records


class LocalTransaction(Transaction):
    """Keeps the outputs, as blobs, until the commit.

    `guard` runs inside the commit, before anything is written: it raises Fenced if the writer
    has been replaced. `store` writes the positions; without it there can be none.
    """

    def __init__(
        self,
        hub: LocalHub,
        guard: Callable[[sqlite3.Connection, Mapping[TopicPartition, int]], None],
        store: Callable[[sqlite3.Connection, Mapping[TopicPartition, int]], None] | None = None,
    ) -> None:
        self._hub = hub
        self._guard = guard
        self._store = store
        self._outputs: log.Encoded = []
        self._nbytes = 0
        self.open = True

    def append(self, batches: Sequence[tuple[TopicPartition, Records]]) -> None:
        self._check_open()
        with self._hub.storage.reading() as db:
            for partition in {TopicPartition(*tp) for tp, _ in batches}:
                topics.place(db, partition)
        encoded, nbytes = log.encode(batches)
        self._outputs += encoded
        self._nbytes += nbytes

    def commit(self, positions: Mapping[TopicPartition, int] | None = None) -> None:
        self._check_open()
        moved = dict(positions or {})
        if moved and self._store is None:
            raise HubError(
                "expected no positions, got some",
                where="commit",
                hint="only the transaction of a group's member (`Member.begin`) has positions",
            )
        outputs = self._outputs
        self.open = False
        self._outputs = []
        written_at = self._hub.now_ms()

        def write(db: sqlite3.Connection) -> None:
            self._guard(db, moved)
            log.append(db, outputs, written_at)
            if moved and self._store is not None:
                self._store(db, moved)

        self._hub.committer.submit(write, nbytes=self._nbytes)

    def abort(self) -> None:
        self.open = False
        self._outputs = []

    def _check_open(self) -> None:
        self._hub.check_usable()
        if not self.open:
            raise HubError(
                "expected an open transaction, got one that is over",
                where="transaction",
                hint="begin another",
            )
