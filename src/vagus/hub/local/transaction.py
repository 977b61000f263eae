"""Outputs and positions in one atomic step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vagus.hub import rules
from vagus.hub.contract import Transaction
from vagus.hub.local import log
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vagus.hub.contract import Then
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
        self._located: list[bool] = []  # for each entry of the outputs
        self._nbytes = 0
        self.open = True

    def append(
        self, batches: Sequence[tuple[TopicPartition, Records]], *, located: bool = False
    ) -> None:
        self._check_open()
        self._hub.require({TopicPartition(*tp) for tp, _ in batches})
        encoded, nbytes = log.encode(batches)
        self._outputs += encoded
        self._located += [located] * len(encoded)
        self._nbytes += nbytes

    def commit(
        self, positions: Mapping[TopicPartition, int] | None = None, *, then: Then | None = None
    ) -> None:
        self._check_open()
        moved = dict(positions or {})
        if self._store is None:
            rules.check_no_positions(moved)
        outputs, located = self._outputs, self._located
        self.open = False
        self._outputs, self._located = [], []
        written_at = self._hub.now_ms()
        touches = {partition for partition, _ in outputs}
        newest: log.Newest = {}

        def write(db: sqlite3.Connection) -> None:
            self._guard(db, moved)
            firsts = log.append(db, outputs, written_at, newest)
            if then is not None:
                more = log.encode(then(_places(outputs, firsts, located)))[0]
                touches.update(partition for partition, _ in more)
                log.append(db, more, written_at, newest)
            if moved and self._store is not None:
                self._store(db, moved)

        if then is None:
            self._hub.committer.submit(write, nbytes=self._nbytes, touches=touches, newest=newest)
            return
        failures: list[Exception] = []

        def write_or_undo(db: sqlite3.Connection) -> None:
            # What `then` does may fail when the outputs are written already: they alone are taken
            # back, not the work of others that share the commit.
            db.execute("SAVEPOINT outputs")
            try:
                write(db)
            except Exception as error:  # noqa: BLE001 - raised below, on the caller's thread
                db.execute("ROLLBACK TO outputs")
                newest.clear()
                failures.append(error)
            db.execute("RELEASE outputs")

        self._hub.committer.submit(
            write_or_undo, nbytes=self._nbytes, touches=touches, newest=newest
        )
        if failures:
            raise failures[0]

    def abort(self) -> None:
        self.open = False
        self._outputs, self._located = [], []

    def _check_open(self) -> None:
        self._hub.check_usable()
        rules.check_transaction(is_open=self.open)


def _places(
    outputs: log.Encoded, firsts: Sequence[int], located: Sequence[bool]
) -> dict[TopicPartition, NDArray[np.int64]]:
    """The offsets of the located outputs, for each partition in their order."""
    found: dict[TopicPartition, list[NDArray[np.int64]]] = {}
    for (partition, parts), first, wanted in zip(outputs, firsts, located, strict=True):
        if wanted:
            count = sum(part.last_delta + 1 for part in parts)
            found.setdefault(partition, []).append(np.arange(first, first + count))
    return {partition: np.concatenate(parts) for partition, parts in found.items()}
