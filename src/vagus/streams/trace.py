"""Traces: what came of an event, over all topics, told by the ids in headers."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vagus.errors import SchemaError, UnknownTopic, VagusError
from vagus.events import Metadata, RecordSchema
from vagus.hub import TopicPartition
from vagus.hub.reading import read_to

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import FetchedRecords, Hub

__all__ = ["Trace", "Traced", "trace"]

Progress = Callable[[int, int], None]
"""Told how many offsets were looked at, and how many there are."""

_IDS = ("ce_id", "ce_correlationid", "ce_causationid")
_DEAD, _DEAD_STEP = "-dead-letters", "vagus-dead-step"
_HEAD_BYTES = 5  # zero, and the id of a schema


@dataclass(frozen=True, slots=True)
class Traced:
    """An event of a trace: where it is, what it is, and what it caused.

    `type` is None where it can't be told; `failed` names the step that could not process the
    event, where this is its dead letter. `time_ms` is in milliseconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    time_ms: int
    type: str | None
    key: bytes | None
    metadata: Metadata
    failed: str | None = None
    effects: list[Traced] = field(default_factory=list, compare=False)

    @property
    def place(self) -> tuple[int, str, int, int]:
        """What events of a trace are ordered by."""
        return self.time_ms, self.topic, self.partition, self.offset


@dataclass(frozen=True, slots=True)
class Trace:
    """All events of one piece of work.

    `roots` are those whose cause is not among them: the first one, and any whose cause is no
    longer kept.
    """

    correlation_id: str
    roots: list[Traced]

    def __iter__(self) -> Iterator[tuple[int, Traced, Traced | None]]:
        """Each event after its cause: how deep it is, the event, its cause."""
        waiting: list[tuple[int, Traced, Traced | None]] = [
            (0, root, None) for root in reversed(self.roots)
        ]
        while waiting:
            depth, event, cause = waiting.pop()
            yield depth, event, cause
            waiting += [(depth + 1, effect, event) for effect in reversed(event.effects)]


def trace(
    hub: Hub,
    event: str,
    registry: Registry,
    *,
    since_ms: int | None = None,
    progress: Progress | None = None,
) -> Trace:
    """All that came of the same cause as an event, given by its id or as TOPIC/PARTITION/OFFSET.

    All topics are read, from events of `since_ms` (milliseconds since 1970) on if it is given.
    Raises VagusError if there is no such event, or it carries no ids.
    """
    scan = _Scan(hub, registry, since_ms, progress)
    wanted = _id_at(hub, event) if "/" in event else event
    found = scan.matching(wanted.encode())
    correlation = next(
        (
            one.metadata.correlation_id
            for one in found
            if one.metadata.event_id == wanted and one.metadata.correlation_id
        ),
        None,
    )
    if correlation is not None and correlation != wanted:
        found = scan.matching(correlation.encode())
    elif not found:
        raise VagusError(
            f"no event has the id {wanted!r}",
            where=hub.url,
            hint="the answer to a command, and the header ce_id, name it; TOPIC/PARTITION/OFFSET "
            "does too",
        )
    return Trace(correlation or wanted, _tree(found))


def _id_at(hub: Hub, place: str) -> str:
    """The id of the event at TOPIC/PARTITION/OFFSET."""
    topic, *numbers = place.rsplit("/", 2)
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise VagusError(
            f"expected an event's id or TOPIC/PARTITION/OFFSET, got {place!r}",
            hint="such as orders/0/17",
        )
    partition, offset = TopicPartition(topic, int(numbers[0])), int(numbers[1])
    if partition.partition >= hub.describe_topic(topic).config.partitions:
        raise UnknownTopic(f"{topic}[{partition.partition}]", [f"{topic}[0]"])
    start = hub.offsets([partition], "earliest")[partition]
    end = hub.offsets([partition], "latest")[partition]
    if start <= offset < end:
        with hub.reader({partition: offset}) as reader:
            while reader.positions()[partition] <= offset:
                for read in reader.read(max_records=1, wait_s=1.0):
                    row = int(read.offsets.searchsorted(offset))
                    if row < len(read) and int(read.offsets[row]) == offset:
                        return _own_id(read, row, place)
    raise VagusError(
        f"no event at {place}", where=hub.url, hint=f"kept are {start} up to {end - 1}"
    )


def _own_id(read: FetchedRecords, row: int, place: str) -> str:
    metadata = Metadata.from_headers(read.headers[row] if read.headers is not None else ())
    if metadata.event_id is None:
        raise VagusError(
            f"the event at {place} carries no id, so that nothing can be traced from it",
            hint="commands carry ids by themselves; other events if they are sent with "
            "metadata=vg.Metadata.new()",
        )
    return metadata.event_id


class _Scan:
    """Reads the headers of all topics."""

    def __init__(
        self, hub: Hub, registry: Registry, since_ms: int | None, progress: Progress | None
    ) -> None:
        self._hub, self._registry = hub, registry
        self._progress = progress or (lambda _done, _total: None)
        self._names: dict[int, str | None] = {}
        partitions = [
            TopicPartition(name, part.partition)
            for name in hub.topics()
            for part in hub.describe_topic(name).partitions
        ]
        self._starts = hub.offsets(partitions, "earliest" if since_ms is None else since_ms)
        self._ends = hub.offsets(partitions, "latest")

    def matching(self, wanted: bytes) -> list[Traced]:
        """The events of which one of the ids is this one."""
        found: list[Traced] = []
        for read in self._reads():
            rows = {
                row: None
                for row, headers in enumerate(read.headers or ())
                for name, value in headers
                if value == wanted and name in _IDS
            }
            found += [self._traced(read, row) for row in rows]
        # An event on its way to another partition is written once more as it is.
        known = {one.metadata.event_id for one in found if not _is_on_its_way(one)}
        found = [
            one for one in found if not _is_on_its_way(one) or one.metadata.event_id not in known
        ]
        return sorted(found, key=lambda one: one.place)

    def _reads(self) -> Iterator[FetchedRecords]:
        total = sum(max(0, end - self._starts[tp]) for tp, end in self._ends.items())
        self._progress(0, total)
        for got, reached in read_to(self._hub, self._starts, self._ends):
            yield from (read for read in got if read.headers is not None)
            self._progress(sum(at - self._starts[tp] for tp, at in reached.items()), total)

    def _traced(self, read: FetchedRecords, row: int) -> Traced:
        assert read.headers is not None
        headers = read.headers[row]
        failed = dict(headers).get(_DEAD_STEP) if read.partition.topic.endswith(_DEAD) else None
        return Traced(
            read.partition.topic,
            read.partition.partition,
            int(read.offsets[row]),
            int(read.timestamps[row]),
            self._type(read.values.to_arrow()[row].as_py()),
            read.keys.to_arrow()[row].as_py(),
            Metadata.from_headers(headers),
            None if failed is None else failed.decode(errors="replace"),
        )

    def _type(self, value: bytes | None) -> str | None:
        """The name of an event's type, as far as its bytes tell it."""
        if value is None:
            return None
        if value[:1] == b"\0" and len(value) >= _HEAD_BYTES:
            number = int.from_bytes(value[1:_HEAD_BYTES], "big")
            if number not in self._names:
                try:
                    self._names[number] = RecordSchema.parse(self._registry.schema(number)).name
                except SchemaError:
                    self._names[number] = None
            return self._names[number]
        try:
            said: Any = json.loads(value)
        except ValueError:
            return None
        name = said.get("type") if isinstance(said, dict) else None
        return name if isinstance(name, str) else None


def _is_on_its_way(event: Traced) -> bool:
    return event.topic.endswith("-repartition")


def _tree(events: list[Traced]) -> list[Traced]:
    """Hang each event below its cause; those without one."""
    by_id = {one.metadata.event_id: one for one in reversed(events) if one.failed is None}
    roots = []
    below: dict[int, list[Traced]] = defaultdict(list)
    for event in events:
        cause = by_id.get(event.metadata.causation_id) if event.metadata.causation_id else None
        if event.failed is not None:  # what became of the event itself
            cause = by_id.get(event.metadata.event_id)
        if cause is None or cause is event:
            roots.append(event)
        else:
            below[id(cause)].append(event)
    for event in events:
        event.effects.extend(below.get(id(event), ()))
    return roots
