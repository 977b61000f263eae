"""The topology: which topics are read, through which steps, to which topics.

Steps that hand frames to one another directly form a sub-topology; a repartition topic between
two steps separates them. A task is one sub-topology for one partition: it reads that partition of
all of the sub-topology's topics, and has its own part of the state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from vagus.errors import DeclarationError, TopologyChanged

if TYPE_CHECKING:
    import polars as pl

    from vagus.runtime.batch import Batch
    from vagus.runtime.store import Store
    from vagus.runtime.topic import Topic

_N = TypeVar("_N", bound="Node")

Process = Callable[[Sequence["pl.DataFrame"], "Batch"], "pl.DataFrame"]
"""What a step does: the frames of its parents in, its own frame out."""


@dataclass(frozen=True, eq=False)
class StoreSpec:
    """State that a step keeps, as the topic that its changes are logged to.

    `logged` is False where the topic is one that the step reads anyway: then reading it is all
    that a restore takes.
    """

    topic: Topic
    logged: bool = True

    @property
    def name(self) -> str:
        """The store's name, that of its topic."""
        return self.topic.name


@dataclass(frozen=True, eq=False)
class Node:
    """A place in a topology. Its name is its identity."""

    name: str
    parents: tuple[Node, ...] = ()


@dataclass(frozen=True, eq=False)
class Source(Node):
    """Reads a topic, each partition by one worker."""

    topic: Topic = field(kw_only=True)

    @property
    def empty(self) -> pl.DataFrame:
        """A frame of the topic, without records."""
        return self.topic.empty


@dataclass(frozen=True, eq=False)
class Step(Node):
    """Turns frames into a frame.

    `make` is called once for each task with its stores, and gives what the step does there.
    `meaning` is what must not change while state is kept under the step's name. `broadcast`
    names the tables that the step looks up in full. A step with `idle_s` is also called, with
    empty frames, once its task's input has been silent for that long; one whose function has an
    attribute `due_ms` that isn't None, when that time (in ms since 1970) has come.
    """

    make: Callable[[Mapping[str, Store]], Process] = field(kw_only=True)
    empty: pl.DataFrame = field(kw_only=True)
    stores: tuple[StoreSpec, ...] = ()
    broadcast: tuple[Topic, ...] = ()
    meaning: str = ""
    label: str = ""
    answers: tuple[Topic, ...] = ()  # topics that it writes to by `Batch.answers`
    idle_s: float | None = None
    effect: bool = False  # it does something outside of the hub


@dataclass(frozen=True, eq=False)
class Sink(Node):
    """Writes a topic.

    A topic that is written `in_place` has as many partitions as those that are read for it.
    """

    topic: Topic = field(kw_only=True)
    in_place: bool = False


@dataclass(frozen=True, eq=False)
class SubTopology:
    """Nodes that hand frames to one another, in an order in which parents come first."""

    number: int
    nodes: tuple[Node, ...]

    @property
    def sources(self) -> list[Source]:
        """The topics it reads."""
        return [node for node in self.nodes if isinstance(node, Source)]

    @property
    def steps(self) -> list[Step]:
        """What it does."""
        return [node for node in self.nodes if isinstance(node, Step)]

    @property
    def sinks(self) -> list[Sink]:
        """The topics it writes."""
        return [node for node in self.nodes if isinstance(node, Sink)]


class Topology:
    """Nodes, added one by one, with unique names.

    `owned` are topics that no other application may claim.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self.owned: set[str] = set()

    def add(self, node: _N) -> _N:
        """Add a node. Raises DeclarationError if its name is taken."""
        if node.name in self._nodes:
            raise DeclarationError(
                f"two steps are called {node.name!r}",
                hint="give one of them a name of its own with name=...",
            )
        self._nodes[node.name] = node
        return node

    def remove(self, node: Node) -> None:
        """Take back a node that nothing hangs on."""
        del self._nodes[node.name]

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    @property
    def nodes(self) -> list[Node]:
        """The nodes from which something comes (an output, state, an effect), parents first."""
        used: set[str] = set()
        for node in reversed(self._nodes.values()):
            matters = isinstance(node, Sink) or (
                isinstance(node, Step) and (node.effect or any(spec.logged for spec in node.stores))
            )
            if matters or node.name in used:
                used.add(node.name)
                used.update(parent.name for parent in node.parents)
        return [node for node in self._nodes.values() if node.name in used]

    def subtopologies(self) -> list[SubTopology]:
        """The parts that are joined only by topics."""
        nodes = self.nodes
        leader = {node.name: node.name for node in nodes}

        def find(name: str) -> str:
            while leader[name] != name:
                name = leader[name]
            return name

        for node in nodes:
            for parent in node.parents:
                leader[find(node.name)] = find(parent.name)
        groups: dict[str, list[Node]] = {}
        for node in nodes:
            groups.setdefault(find(node.name), []).append(node)
        return [SubTopology(n, tuple(nodes)) for n, nodes in enumerate(groups.values())]

    def sources(self) -> list[Source]:
        """All topics that are read by partition."""
        return [node for node in self.nodes if isinstance(node, Source)]

    def broadcasts(self) -> dict[str, Topic]:
        """All tables that every worker holds in full."""
        return {
            topic.name: topic
            for node in self.nodes
            if isinstance(node, Step)
            for topic in node.broadcast
        }

    def topics(self) -> dict[str, Topic]:
        """Every topic that is read, written, or logged to."""
        found: dict[str, Topic] = dict(self.broadcasts())
        for node in self.nodes:
            if isinstance(node, (Source, Sink)):
                found.setdefault(node.topic.name, node.topic)
            elif isinstance(node, Step):
                for topic in (*(spec.topic for spec in node.stores), *node.answers):
                    found.setdefault(topic.name, topic)
        return found

    def meanings(self) -> dict[str, str]:
        """A digest of what each stateful step means."""
        return {
            node.name: hashlib.sha256(node.meaning.encode()).hexdigest()[:16]
            for node in self.nodes
            if isinstance(node, Step) and node.stores and node.meaning
        }


def check_meanings(stored: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise TopologyChanged where a step's stored state belongs to another meaning."""
    for name, meaning in now.items():
        if stored.get(name, meaning) != meaning:
            raise TopologyChanged(
                f"step {name!r} means something else than when its state was made",
                hint="give the changed step another name (it starts with empty state), or undo "
                "the change",
            )
