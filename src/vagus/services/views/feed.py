"""The feed of a view: its topics' events, in order, from positions of its own.

Events of a partition come in their order, those of several lowest time first, as an application's
worker takes them. It is outside of any group, and reads what is committed.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from vagus.errors import TopicExists, VagusError
from vagus.hub import TopicPartition
from vagus.runtime.batch import Failure, Origin, origin
from vagus.runtime.intake import Intake
from vagus.runtime.topic import TopicCodec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vagus.events import Registry
    from vagus.hub import At, FetchedRecords, Hub
    from vagus.runtime.intake import Rank, TaskInput
    from vagus.services.views.declare import ViewType

__all__ = ["Feed", "partitions_of", "start_of"]

_LIVE_RECORDS, _LIVE_BYTES = 16_384, 4 << 20
_BULK_RECORDS, _BULK_BYTES = 262_144, 32 << 20
_BUFFERED_RECORDS = 4 * _BULK_RECORDS  # of one partition, while another one lags behind


class Unreadable(VagusError):
    """An event of the feed can't be decoded; all that come before it have been given."""

    def __init__(self, failure: Failure, place: Origin) -> None:
        self.failure, self.place = failure, place
        super().__init__(failure.error, where=f"{place.topic}, offset {place.offset}")


class Feed:
    """Reads a view's topics. With `halts`, nothing is given behind an unreadable event."""

    def __init__(
        self,
        view: ViewType,
        hub: Hub,
        registry: Registry,
        positions: Mapping[TopicPartition, int],
        rank: Rank | None = None,
    ) -> None:
        self._codecs = {
            source.topic.name: TopicCodec(source.topic, registry) for source in view.sources
        }
        self._halts = view.on_error == "stop"
        self._halted: Unreadable | None = None
        # Tables first: of equal time, a row comes before an event.
        tables = {s.topic.name for s in view.sources if s.topic.config.cleanup != "delete"}
        ordered = sorted(positions, key=lambda tp: (tp.topic not in tables, tp))
        self._intake = Intake(view.app, ordered, *([] if rank is None else [rank]))
        self._positions = dict(positions)  # behind what was given
        self._paused: set[TopicPartition] = set()
        self._reader = hub.reader(positions)

    def take(self, *, wait_s: float = 0.0, bulk: bool = False) -> TaskInput | None:
        """The next events, or None where there are none within that time.

        Raises Unreadable where the feed halts.
        """
        if self._halted is not None:
            given = self._intake.take(())
            if given is None:
                raise self._halted
            return given
        bounds = (_BULK_RECORDS, _BULK_BYTES) if bulk else (_LIVE_RECORDS, _LIVE_BYTES)
        for read in self._reader.read(max_records=bounds[0], max_bytes=bounds[1], wait_s=wait_s):
            self._add(read)
        given = self._intake.take(self.behind())
        self._throttle()
        if given is not None:
            self._positions.update(given.positions)
        elif self._halted is not None:
            raise self._halted
        return given

    def passed(self) -> dict[TopicPartition, int]:
        """Positions that have moved on though no event was given: markers, compacted events."""
        if self._halted is not None:
            return {}
        found = {}
        for partition, at in self._reader.positions().items():
            if at > self._positions[partition] and not self._intake.pending(partition):
                found[partition] = self._positions[partition] = at
        return found

    def wakeup(self) -> None:
        """Make a waiting `take` return."""
        self._reader.wakeup()

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()

    def _add(self, read: FetchedRecords) -> None:
        if self._halted is not None:
            return
        codec = self._codecs[read.partition.topic]
        decoded = codec.decode(read)
        if decoded.failures and self._halts:
            bad = min(decoded.failures, key=lambda failure: failure.row)
            place = origin(read, bad.row)
            failure = Failure(read.partition.topic, bad.error, bad.error, origin=place)
            self._halted = Unreadable(failure, place)
            read = replace(read.slice(0, bad.row), next_offset=place.offset)
            decoded = codec.decode(read)
        self._intake.add(read, decoded)

    def behind(self) -> set[TopicPartition]:
        """Partitions that are known to have more than was read."""
        if self._halted is not None:
            return set()
        ends, positions = self._reader.ends(), self._reader.positions()
        return {tp for tp, at in positions.items() if at < ends.get(tp, at)}

    def _throttle(self) -> None:
        full = {tp for tp in self._positions if self._intake.pending(tp) > _BUFFERED_RECORDS}
        if full != self._paused:
            self._reader.resume(self._paused - full)
            self._reader.pause(full - self._paused)
            self._paused = full


def partitions_of(view: ViewType, hub: Hub) -> list[TopicPartition]:
    """The partitions of a view's topics. A topic that nobody has written to yet is created."""
    existing = set(hub.topics())
    found = []
    for source in view.sources:
        name = source.topic.name
        if name not in existing:
            with suppress(TopicExists):
                hub.create_topic(name, source.topic.config)
        parts = hub.describe_topic(name).partitions
        found += [TopicPartition(name, part.partition) for part in parts]
    return found


def start_of(view: ViewType, hub: Hub) -> dict[TopicPartition, int]:
    """The positions that a view starts from."""
    partitions = partitions_of(view, hub)
    start = view.start
    at: At = start if isinstance(start, str) else int(start.timestamp() * 1000)
    return hub.offsets(partitions, at)
