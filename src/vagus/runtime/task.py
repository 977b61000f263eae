"""A task: one sub-topology at work on one partition, with its part of the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from vagus.errors import VagusError
from vagus.hub import TopicPartition
from vagus.runtime.topology import Node, Sink, Source, Step, StoreSpec, SubTopology

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.runtime.topology import Process

Outputs = list[tuple[Sink, pl.DataFrame]]


class Task:
    """Evaluates a sub-topology, batch by batch. The stores must be whole before it is made."""

    def __init__(self, sub: SubTopology, partition: int, stores: Mapping[str, Store]) -> None:
        self.sub = sub
        self.partition = partition
        self.stores = dict(stores)
        self._process: dict[str, Process] = {
            step.name: step.make({spec.name: stores[spec.name] for spec in step.stores})
            for step in sub.steps
        }
        self._timed = [name for name, call in self._process.items() if hasattr(call, "due_ms")]
        self._empty = {
            node.name: node.empty for node in sub.nodes if isinstance(node, (Source, Step))
        }
        self._specs = {spec.name: spec for step in sub.steps for spec in step.stores}
        # What the task reads, tables first: of equal time, a row comes before an event.
        topics = sorted((s.topic for s in sub.sources), key=lambda t: t.config.cleanup == "delete")
        self.inputs = [TopicPartition(topic.name, partition) for topic in topics]
        self.idle_s = min((s.idle_s for s in sub.steps if s.idle_s is not None), default=None)

    @property
    def due_ms(self) -> int | None:
        """When a step wants to be called though nothing came, in milliseconds since 1970."""
        return min(self._due.values(), default=None)

    def is_due(self, now_ms: int) -> bool:
        """Whether a step is to be called now though nothing came."""
        return any(due <= now_ms for due in self._due.values())

    @property
    def _due(self) -> dict[str, int]:
        return {
            name: due
            for name in self._timed
            if (due := self._process[name].due_ms) is not None  # type: ignore[attr-defined]
        }

    def process(
        self,
        frames: Mapping[str, pl.DataFrame],
        batch: Batch,
        nodes: Collection[Node] | None = None,
    ) -> Outputs:
        """Take a frame for each topic through all nodes, or through `nodes` only."""
        done: dict[str, pl.DataFrame] = {}
        outputs: Outputs = []
        due = self._due if batch.due else {}
        for node in self.sub.nodes:
            if nodes is not None and node not in nodes:
                continue
            if isinstance(node, Source):
                frame = frames.get(node.topic.name)
                empty = self._empty[node.name]
                done[node.name] = empty if frame is None else _only(frame, empty.columns)
            elif isinstance(node, Step):
                inputs = [done.get(p.name, self._empty[p.name]) for p in node.parents]
                busy = (
                    batch.idle_s > 0
                    or node.name in batch.side
                    or due.get(node.name, batch.now_ms + 1) <= batch.now_ms
                    or any(frame.height for frame in inputs)
                )
                done[node.name] = self._process[node.name](inputs, batch) if busy else node.empty
            elif isinstance(node, Sink):
                frame = done[node.parents[0].name]
                if frame.height:
                    outputs.append((node, frame))
        for store in self.stores.values():
            store.flush()
        return outputs

    def replay_path(self, step: str) -> Collection[Node]:
        """The nodes that a replayed dead letter of `step` goes through.

        Raises VagusError if the step is gone, or if a step before it keeps state that already
        counts the event.
        """
        known = {node.name: node for node in self.sub.nodes}
        if step not in known:
            raise VagusError(f"step {step!r}, which the event failed in, is no more")
        before = _closure(known[step], lambda node: node.parents)
        for node in before:
            counts = isinstance(node, Step) and any(spec.logged for spec in node.stores)
            if counts and node is not known[step]:
                raise VagusError(
                    f"the event was already counted by {node.name!r}, which comes before "
                    f"{step!r}; sending it again would count it twice"
                )
        children: dict[Node, list[Node]] = {}
        for node in self.sub.nodes:
            for parent in node.parents:
                children.setdefault(parent, []).append(node)
        return before | _closure(known[step], lambda node: children.get(node, ()))

    def changes(self) -> list[tuple[StoreSpec, pl.DataFrame]]:
        """The state changes since the last commit that are to be logged."""
        found = []
        for name, store in self.stores.items():
            rows = store.take_changes()
            if rows is not None and self._specs[name].logged:
                found.append((self._specs[name], rows))
        return found


def _only(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    return frame if frame.columns == columns else frame[columns]


def _closure(start: Node, following: Callable[[Node], Sequence[Node]]) -> set[Node]:
    found: set[Node] = set()
    waiting = [start]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(following(node))
    return found
