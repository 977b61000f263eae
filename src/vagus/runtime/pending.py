"""What a worker has done and not yet committed: of one turn, and of all since the last commit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vagus.hub import Records, TopicPartition
from vagus.runtime.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vagus.hub import Transaction
    from vagus.runtime.batch import Answer, Failure, Origin

__all__ = ["LocatedAnswer", "Pending", "Turn"]


@dataclass(slots=True)
class Turn:
    """What one turn adds to the commit."""

    outputs: dict[tuple[TopicPartition, bool], list[Records]] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    dead: list[tuple[Failure, Origin]] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)
    answers: list[LocatedAnswer] = field(default_factory=list)
    urgent: bool = False
    busy: bool = False

    def write(self, partition: TopicPartition, records: Records, *, located: bool = False) -> None:
        self.outputs.setdefault((partition, located), []).append(records)


@dataclass(frozen=True, slots=True)
class LocatedAnswer:
    """An answer, and which of the located outputs of a partition it is about."""

    answer: Answer
    partition: TopicPartition
    start: int
    count: int


@dataclass(slots=True)
class Pending:
    """What waits for the commit."""

    transaction: Transaction
    since_s: float
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    metrics: Metrics = field(default_factory=Metrics)  # counted only if the commit succeeds
    answers: list[LocatedAnswer] = field(default_factory=list)
    nbytes: int = 0
    urgent: bool = False

    def answer(
        self, places: Mapping[TopicPartition, NDArray[np.int64]]
    ) -> list[tuple[TopicPartition, Records]]:
        """The answers, now that it is known where the outputs lie."""
        found: dict[TopicPartition, list[Records]] = {}
        nowhere = np.empty(0, dtype=np.int64)
        for one in self.answers:
            offsets = places.get(one.partition, nowhere)[one.start : one.start + one.count]
            for partition, records in one.answer.write(offsets):
                found.setdefault(partition, []).append(records)
        return [(partition, Records.concat(parts)) for partition, parts in found.items()]

    def done(self) -> None:
        """Tell those who answer that their records are committed."""
        for one in self.answers:
            one.answer.done()
