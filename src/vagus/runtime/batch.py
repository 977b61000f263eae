"""One batch of one task: where its records came from, and what becomes of the ones that fail."""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vagus.errors import VagusError
from vagus.events import Metadata
from vagus.hub import Records
from vagus.runtime.deadletters import REPLAY_PLACE
from vagus.runtime.frame import SEQ

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from numpy.typing import NDArray

    from vagus.events.personal import Mark
    from vagus.hub import FetchedRecords, TopicPartition
    from vagus.hub.personkeys import PersonSession
    from vagus.runtime.metrics import Metrics
    from vagus.runtime.spans import Spans
    from vagus.runtime.store import Store


class Stopped(VagusError):
    """An event could not be processed, and the application asked to stop in that case."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failing function of yours is called again, and how long is waited before.

    The wait doubles from `wait_s` up to `max_wait_s`.

    >>> Retry(times=3, wait_s=0.1).waits_s()
    [0.1, 0.2, 0.4]
    """

    times: int = 0
    wait_s: float = 0.1
    max_wait_s: float = 10.0

    def waits_s(self) -> list[float]:
        """The wait before each further try, in seconds."""
        return [min(self.wait_s * 2**n, self.max_wait_s) for n in range(self.times)]


@dataclass(frozen=True, slots=True)
class Failure:
    """A record that a step could not process.

    It is the one of the batch that has this `seq`, or, where it didn't get as far as that, the
    one read at `origin`.
    """

    step: str
    error: str
    detail: str
    tries: int = 1
    seq: int = -1
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """A record as it was read."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Origins:
    """From a record's `_seq` back to where it was read."""

    def __init__(self) -> None:
        self._reads: list[FetchedRecords] = []
        self._read_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._row_of: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    @classmethod
    def of(
        cls,
        reads: list[FetchedRecords],
        read_of: NDArray[np.int64],
        row_of: NDArray[np.int64],
    ) -> Origins:
        """Origins whose record `_seq` stands in row `row_of[_seq]` of `reads[read_of[_seq]]`."""
        origins = cls()
        origins._reads, origins._read_of, origins._row_of = reads, read_of, row_of
        return origins

    def __len__(self) -> int:
        return len(self._read_of)

    @property
    def has_headers(self) -> bool:
        """Whether any record of the batch carries headers."""
        return any(read.headers is not None for read in self._reads)

    def headers(self, seqs: NDArray[np.integer[Any]]) -> list[tuple[tuple[str, bytes], ...]]:
        """The headers of these records."""
        columns = [read.headers for read in self._reads]
        rows = self._row_of[seqs].tolist()
        if len(columns) == 1:
            whole = columns[0]
            return [()] * len(rows) if whole is None else list(map(whole.__getitem__, rows))
        found = []
        for place, row in zip(self._read_of[seqs].tolist(), rows, strict=True):
            column = columns[place]
            found.append(column[row] if column is not None else ())
        return found

    def heads(self, seq: int) -> dict[TopicPartition, int]:
        """For each partition, the offset of its first record at or behind `seq`, if it has one."""
        found: dict[TopicPartition, int] = {}
        numbers, firsts = np.unique(self._read_of[seq:], return_index=True)
        for number, first in zip(numbers.tolist(), firsts.tolist(), strict=True):
            read = self._reads[number]
            offset = int(read.offsets[self._row_of[seq + first]])
            known = found.get(read.partition, offset)
            found[read.partition] = min(known, offset)
        return found

    def place(self, seq: int) -> str:
        """Where a record stood before any replay of it: topic, partition and offset."""
        read, row = self._reads[self._read_of[seq]], int(self._row_of[seq])
        offset = int(read.offsets[row])
        if read.headers is not None:
            offset = int(dict(read.headers[row]).get(REPLAY_PLACE, offset))
        return f"{read.partition.topic}/{read.partition.partition}/{offset}"

    def __getitem__(self, seq: int) -> Origin:
        read, row = self._reads[self._read_of[seq]], int(self._row_of[seq])
        return origin(read, row)


def origin(read: FetchedRecords, row: int) -> Origin:
    """Row `row` of `read`, as one record."""
    return Origin(
        read.partition.topic,
        read.partition.partition,
        int(read.offsets[row]),
        int(read.timestamps[row]),
        read.keys.to_arrow()[row].as_py(),
        read.values.to_arrow()[row].as_py(),
        read.headers[row] if read.headers is not None else (),
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """Records that say where a batch's outputs came to lie.

    `write` is called before the commit completes with the offsets of what this batch of this task
    wrote to its partition of `topic`, in the order of the rows; the records that it returns are
    part of the same commit. `done` is called once that is done.
    """

    topic: str
    write: Callable[[NDArray[np.int64]], Sequence[tuple[TopicPartition, Records]]]
    done: Callable[[], None]


@dataclass
class Batch:
    """What the steps of a task share while they process one batch.

    A batch that is `due` has no records: steps are called because their time has come. Such a
    step may set `origins`, to those of what it now goes on with. What is `said` of a record (by
    `_seq`) is put into the headers of all that comes of it. A step sets `urgent` if somebody waits
    for the outcome: then the commit comes at once. `in_doubt` says that it may happen and yet seem
    to have failed.
    """

    origins: Origins
    metrics: Metrics
    broadcast: Mapping[str, Store] = field(default_factory=dict)
    idle_s: float = 0.0
    retry: Retry = field(default_factory=Retry)
    sleep: Callable[[float], None] = time.sleep
    run_async: Callable[[Coroutine[Any, Any, Any]], Any] = asyncio.run
    failures: list[Failure] = field(default_factory=list)
    side: dict[str, pl.DataFrame] = field(default_factory=dict)  # frames for steps by name
    said: dict[int, tuple[tuple[str, bytes], ...]] = field(default_factory=dict)
    now_ms: int = 0
    due: bool = False
    replay: bool = False  # its one record is a dead letter that was sent again
    partition: int = 0  # of the task's inputs
    partitions: int = 1  # as many as each of these topics has
    answers: list[Answer] = field(default_factory=list)
    urgent: bool = False
    in_doubt: bool = True
    keys: PersonSession | None = None
    spans: Spans | None = None

    def opened(self, step: str, frame: pl.DataFrame, marks: Mapping[str, Mark]) -> pl.DataFrame:
        """The frame with personal columns decrypted; records that can't be are set apart."""
        if not marks:
            return frame
        keys = self.persons
        return self.guard(
            step, lambda part: keys.open(part, marks), frame, keys.open(frame.clear(), marks)
        )

    def sealed(self, frame: pl.DataFrame, marks: Mapping[str, Mark]) -> pl.DataFrame:
        """The frame with personal columns encrypted. Raises EncodeError with the rows."""
        return self.persons.seal(frame, marks) if marks else frame

    @property
    def persons(self) -> PersonSession:
        """The keys of persons. Raises VagusError where the batch comes from no hub."""
        if self.keys is None:
            raise VagusError("expected a hub that keeps the keys of persons, got none")
        return self.keys

    def headed(self, records: Records, seqs: NDArray[Any], *, same_event: bool) -> Records:
        """Records with the headers of what they come of, or are, in the `same_event`."""
        headers = self.origins.headers(seqs)
        if not same_event:
            if self.spans is not None:
                headers = self.spans.within(headers, seqs)
            headers = Metadata.effects(headers)
            if self.said:
                said = [self.said.get(seq, ()) for seq in seqs.tolist()]
                headers = [(*known, *more) for known, more in zip(headers, said, strict=True)]
        if not any(headers):
            return records
        return Records(records.keys, records.values, records.timestamps, headers)

    def fail(self, seq: int, step: str, error: BaseException, *, tries: int = 1) -> None:
        """Set a record apart."""
        detail = "".join(traceback.format_exception(error))
        self.failures.append(
            Failure(step, f"{type(error).__name__}: {error}", detail, tries, seq=seq)
        )

    def attempt(self, call: Callable[[], Any]) -> tuple[Any, BaseException | None, int]:
        """Call until it succeeds or the retries are used up: result, last error, tries."""
        try:
            return call(), None, 1
        except Exception as problem:  # noqa: BLE001 - whatever a user's function raises
            return self.again(call, problem)

    def again(
        self, call: Callable[[], Any], error: BaseException
    ) -> tuple[Any, BaseException | None, int]:
        """Go on like `attempt` after a first try that failed with `error`."""
        tries = 1
        last = error
        for wait_s in self.retry.waits_s():
            self.sleep(wait_s)
            tries += 1
            try:
                return call(), None, tries
            except Exception as problem:  # noqa: BLE001 - as above
                last = problem
        return None, last, tries

    def guard(
        self,
        step: str,
        function: Callable[[pl.DataFrame], pl.DataFrame],
        frame: pl.DataFrame,
        empty: pl.DataFrame,
    ) -> pl.DataFrame:
        """Apply a function to a frame; set apart the records that make it fail.

        The frame is halved until the failing records stand alone, so that a batch costs more
        only where something fails; only then are retries made.
        """
        if frame.height > 1 and frame[SEQ][0] != frame[SEQ][-1]:
            try:
                return function(frame)
            except Exception:  # noqa: BLE001 - whatever a user's function raises
                middle = frame[SEQ][frame.height // 2]
            if middle == frame[SEQ][0]:
                middle += 1
            halves = [frame.filter(pl.col(SEQ) < middle), frame.filter(pl.col(SEQ) >= middle)]
            return pl.concat([self.guard(step, function, half, empty) for half in halves])
        result, error, tries = self.attempt(lambda: function(frame))
        if error is not None:
            self.fail(int(frame[SEQ][0]), step, error, tries=tries)
            return empty
        done: pl.DataFrame = result
        return done
