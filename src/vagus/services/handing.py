"""Handing: a step with several outputs lays frames aside, and a step for each gives them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagus.runtime.topology import Sink, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl

    from vagus.runtime.batch import Batch
    from vagus.runtime.topic import Topic
    from vagus.runtime.topology import Topology

__all__ = ["hand_on"]


class _Handing:
    """Gives on the frame that the step before it has laid aside for it."""

    def __init__(self, name: str, empty: pl.DataFrame) -> None:
        self._name, self._empty = name, empty

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        return batch.side.pop(self._name, self._empty)


def hand_on(topology: Topology, name: str, step: Step, topic: Topic, label: str) -> None:
    """Have what `step` lays aside as `batch.side[name]` written to a topic."""
    handing = _Handing(name, topic.empty)
    made = topology.add(Step(name, (step,), make=_always(handing), empty=topic.empty, label=label))
    topology.add(Sink(f"{name} -> {topic.name}", (made,), topic=topic))


def _always(process: _Handing) -> Callable[[Any], _Handing]:
    return lambda stores: process
