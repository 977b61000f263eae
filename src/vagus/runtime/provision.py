"""What an application needs of its hub before it can run: topics, and that its state is its own."""

from __future__ import annotations

import contextlib
import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from vagus.errors import HubError, HubUnavailable, TopicExists
from vagus.hub import TopicConfig
from vagus.hub.ledger import Entry, Ledger
from vagus.runtime.deadletters import DEAD_LETTER_CONFIG, dead_letter_topic
from vagus.runtime.owners import claim
from vagus.runtime.topology import check_meanings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagus.hub import Hub
    from vagus.runtime.topic import Topic
    from vagus.runtime.topology import SubTopology, Topology


def provision(hub: Hub, app: str, topology: Topology) -> dict[str, int]:
    """Create what is missing, check what is there; the partition count of each topic.

    Raises HubError where topics that are read or written together have different numbers of
    partitions, TopicOwned where another application owns a topic, and TopologyChanged where stored
    state belongs to steps of another meaning.
    """
    claim(hub, app, topology.owned)
    existing = set(hub.topics())
    counts: dict[str, int] = {}

    def ensure(topic: Topic, partitions: int | None = None) -> int:
        if topic.name not in counts:
            config = topic.config
            if partitions is not None:
                config = replace(config, partitions=partitions)
            if topic.name not in existing:
                existing.add(topic.name)
                _create(hub, topic.name, config)
            counts[topic.name] = hub.describe_topic(topic.name).config.partitions
        return counts[topic.name]

    for topic in topology.topics().values():
        if not topic.follows_inputs:
            ensure(topic)
    waiting = topology.subtopologies()
    while waiting:
        ready = [sub for sub in waiting if _known(sub, counts)]
        if not ready:  # a cycle of internal topics: one partition count for all of it
            ready = waiting[:1]
            for source in ready[0].sources:
                ensure(source.topic, max(counts.values(), default=1))
        for sub in ready:
            partitions = _partitions(sub, counts)
            for step in sub.steps:
                for spec in step.stores:
                    _alike(spec.topic, ensure(spec.topic, partitions), partitions)
            for sink in sub.sinks:
                if sink.in_place:
                    _alike(sink.topic, ensure(sink.topic, partitions), partitions)
                    _kept(sink.topic, hub.describe_topic(sink.topic.name).config)
                elif sink.topic.follows_inputs:
                    ensure(sink.topic, _wanted(sink.topic, topology, counts) or partitions)
            waiting.remove(sub)
    if dead_letter_topic(app) not in existing:
        _create(hub, dead_letter_topic(app), DEAD_LETTER_CONFIG)
    _check_steps(hub, app, topology, fresh=f"{app}-steps" not in existing)
    return counts


def _create(hub: Hub, name: str, config: TopicConfig) -> None:
    """Make a topic. Raises HubError with the command that makes it, if the hub doesn't allow it."""
    try:
        with contextlib.suppress(TopicExists):  # another worker may be faster
            hub.create_topic(name, config)
    except HubUnavailable:
        raise
    except HubError as error:
        raise HubError(
            f"topic {name!r} is missing, and could not be created: {error.message}",
            where=hub.url,
            hint=f"have it created with `{_command(hub, name, config)}`",
        ) from error


def _command(hub: Hub, name: str, config: TopicConfig) -> str:
    """The command that creates a topic."""
    parts = [f"vagus topic create {name} --partitions {config.partitions}"]
    if config.cleanup != "delete":
        parts.append(f"--cleanup {config.cleanup}")
    if config.retention_s is not None:
        parts.append(f"--retention {config.retention_s * 1000:.0f}ms")
    if config.retention_bytes is not None:
        parts.append(f"--retention-bytes {config.retention_bytes}")
    return " ".join([*parts, f"--hub {shlex.quote(hub.url)}"])


def _known(sub: SubTopology, counts: Mapping[str, int]) -> bool:
    return all(source.topic.name in counts for source in sub.sources)


def _partitions(sub: SubTopology, counts: Mapping[str, int]) -> int:
    read = {source.topic.name: counts[source.topic.name] for source in sub.sources}
    if len(set(read.values())) > 1:
        shown = ", ".join(f"{name} has {count}" for name, count in sorted(read.items()))
        raise HubError(
            f"topics that are read together need the same number of partitions: {shown}",
            hint="create them with the same number (`vagus topic create --partitions`), or rekey "
            "one of the streams",
        )
    return next(iter(read.values()), 1)


def _alike(topic: Topic, count: int, partitions: int) -> None:
    if count != partitions:
        raise HubError(
            f"expected topic {topic.name!r} to have {partitions} partitions, as what is read for "
            f"it, got {count}",
            hint="a key's records must stay in one partition: give the topics that are read as "
            "many partitions as it has",
        )


def _kept(topic: Topic, config: TopicConfig) -> None:
    """Refuse a topic whose events might go, where it is declared that they are kept for ever."""
    wanted = topic.config
    limits = (wanted.cleanup, wanted.retention_s, wanted.retention_bytes)
    if limits == ("delete", None, None) and limits != (
        config.cleanup,
        config.retention_s,
        config.retention_bytes,
    ):
        raise HubError(
            f"expected topic {topic.name!r} to keep its events for ever, got cleanup "
            f"{config.cleanup!r}, retention {config.retention_s} s, {config.retention_bytes} bytes",
            hint="they are all that is known of what happened: `vagus topic alter` takes the "
            "limits away",
        )


def _wanted(topic: Topic, topology: Topology, counts: Mapping[str, int]) -> int | None:
    """The number of partitions of what the topic is read together with."""
    for sub in topology.subtopologies():
        names = [source.topic.name for source in sub.sources]
        if topic.name in names:
            return next((counts[name] for name in names if name in counts), None)
    return None


def _check_steps(hub: Hub, app: str, topology: Topology, *, fresh: bool) -> None:
    """Compare what the steps mean with what they meant when their state was made."""
    meanings = topology.meanings()
    if not meanings:
        return
    name = f"{app}-steps"
    if fresh:
        _create(hub, name, TopicConfig(cleanup="compact"))
    stored: dict[str, str] = {}

    def remember(step: bytes, value: bytes | None) -> None:
        if value is not None:
            stored[step.decode()] = json.loads(value)["meaning"]

    def new() -> list[Entry]:
        check_meanings(stored, meanings)
        return [
            (step.encode(), json.dumps({"meaning": meanings[step]}).encode())
            for step in sorted(set(meanings) - set(stored))
        ]

    Ledger(hub, name, name, remember).change(new)
