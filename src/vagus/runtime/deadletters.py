"""Dead letters: events that could not be processed, set apart with all that is known of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vagus.errors import VagusError
from vagus.hub import Records, TopicConfig, TopicPartition
from vagus.hub.reading import read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vagus.hub import Hub
    from vagus.runtime.batch import Failure, Origin

REPLAY_APP = "vagus-replay-app"
REPLAY_STEP = "vagus-replay-step"
REPLAY_PLACE = "vagus-replay-place"
VIEW_STEP = "view: "
"""What the steps begin with that are views of events: they read for themselves, replays too."""

_PREFIX = "vagus-dead-"
_TRACEBACK_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be processed.

    `number` is its offset among the application's dead letters; `topic`, `partition` and `offset`
    are where the event itself stands, `key` and `value` its bytes.
    """

    number: int
    topic: str
    partition: int
    offset: int
    step: str
    error: str
    detail: str
    tries: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


def dead_letter_topic(app: str) -> str:
    """The topic of an application's dead letters."""
    return f"{app}-dead-letters"


DEAD_LETTER_CONFIG = TopicConfig(partitions=1)


def to_records(failures: list[tuple[Failure, Origin]]) -> Records:
    """Dead letters as records: the event's own bytes, and the rest in headers."""
    headers = [
        (
            *((n, v) for n, v in origin.headers if not n.startswith("vagus-replay-")),
            (_PREFIX + "topic", origin.topic.encode()),
            (_PREFIX + "partition", str(origin.partition).encode()),
            (_PREFIX + "offset", str(first_offset(origin)).encode()),
            (_PREFIX + "step", failure.step.encode()),
            (_PREFIX + "error", failure.error.encode()[:_TRACEBACK_BYTES]),
            (_PREFIX + "traceback", failure.detail.encode()[-_TRACEBACK_BYTES:]),
            (_PREFIX + "tries", str(failure.tries).encode()),
        )
        for failure, origin in failures
    ]
    return Records.of(
        [origin.key for _, origin in failures],
        [origin.value for _, origin in failures],
        [origin.timestamp for _, origin in failures],
        headers,
    )


def first_offset(origin: Origin) -> int:
    """Where an event stood in its partition before any replay of it."""
    return int(dict(origin.headers).get(REPLAY_PLACE, origin.offset))


def dead_letters(hub: Hub, app: str) -> Iterator[DeadLetter]:
    """All dead letters of an application, oldest first. Raises UnknownTopic if it has none."""
    partition = TopicPartition(dead_letter_topic(app), 0)
    for read in read_all(hub, [partition]):
        assert read.headers is not None
        columns = zip(
            read.offsets.tolist(),
            read.timestamps.tolist(),
            read.keys.to_list(),
            read.values.to_list(),
            read.headers,
            strict=True,
        )
        for offset, timestamp, key, value, headers in columns:
            yield _parse(offset, timestamp, key, value, headers)


def _parse(
    number: int,
    timestamp: int,
    key: bytes | None,
    value: bytes | None,
    headers: tuple[tuple[str, bytes], ...],
) -> DeadLetter:
    own = {n.removeprefix(_PREFIX): v.decode(errors="replace") for n, v in headers}
    rest = tuple((n, v) for n, v in headers if not n.startswith(_PREFIX))
    return DeadLetter(
        number=number,
        topic=own["topic"],
        partition=int(own["partition"]),
        offset=int(own["offset"]),
        step=own["step"],
        error=own["error"],
        detail=own["traceback"],
        tries=int(own["tries"]),
        timestamp=timestamp,
        key=key,
        value=value,
        headers=rest,
    )


def replay(hub: Hub, app: str, letters: list[DeadLetter]) -> None:
    """Send dead letters again, each to the step that failed.

    An event is appended to its topic once more, marked for this application and step: every other
    step and application passes over it. A consumer that isn't Vagus sees it a second time.
    """
    for letter in letters:
        if letter.topic not in hub.topics():
            raise VagusError(
                f"dead letter {letter.number} came from topic {letter.topic!r}, which is gone",
                hint="create the topic again to replay it",
            )
        marks = (
            (REPLAY_APP, app.encode()),
            (REPLAY_STEP, letter.step.encode()),
            (REPLAY_PLACE, str(letter.offset).encode()),
        )
        records = Records.of(
            [letter.key], [letter.value], [letter.timestamp], [(*letter.headers, *marks)]
        )
        hub.append([(TopicPartition(letter.topic, letter.partition), records)])
