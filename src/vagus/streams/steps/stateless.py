"""Steps without state: a function from a frame to a frame."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError, EncodeError
from vagus.events import RecordSchema
from vagus.runtime.frame import KEY, SEQ, SYSTEM, TOMBSTONE, in_order
from vagus.streams.fields import marks_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vagus.events import Event
    from vagus.runtime.batch import Batch
    from vagus.runtime.topology import Process

_CONCURRENT_CALLS = 100


def frames(
    name: str, function: Callable[[pl.DataFrame], pl.DataFrame], empty: pl.DataFrame
) -> Process:
    """Apply a function to the frame; records that make it fail become dead letters."""

    def process(inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        return batch.guard(name, function, inputs[0], empty)

    return process


def merge() -> Process:
    """The records of all inputs, in the order of the batch."""

    def process(inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        return in_order(list(inputs))

    return process


def checked(
    function: Callable[[pl.DataFrame], pl.DataFrame], name: str
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """A user's function of frames, made sure to keep the engine's columns and the order."""

    def call(frame: pl.DataFrame) -> pl.DataFrame:
        result = function(frame)
        if not isinstance(result, pl.DataFrame):
            raise DeclarationError(
                f"expected map_frames to return a Polars DataFrame, got {type(result).__name__}",
                where=name,
            )
        missing = [column for column in SYSTEM if column not in result.columns]
        if missing:
            raise DeclarationError(
                f"the frame came back without {', '.join(missing)}",
                where=name,
                hint="keep the columns that begin with an underscore: use with_columns, or put "
                'pl.col("^_.*$") into select',
            )
        # Whatever order the function had use for, later steps judge lateness in that of the batch.
        return result if result[SEQ].is_sorted() else result.sort(SEQ, maintain_order=True)

    return call


class PerEvent:
    """Calls a Python function for each event; it returns an event, several, or None.

    Deletions pass by untouched where the outcome is one event (`keep_tombstones`).
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        source: type[Event],
        target: type[Event],
        empty: pl.DataFrame,
        *,
        many: bool,
    ) -> None:
        self._name, self._function = name, function
        self._source, self._target = source, target
        self._empty, self._many = empty, many
        self._marks = marks_read(source)

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = inputs[0]
        live = batch.opened(self._name, frame.filter(~pl.col(TOMBSTONE)), self._marks)
        results = call_each(self._name, self._function, self._source, live, batch)
        rows: list[int] = []
        events: list[Event] = []
        for row, result in results:
            for event in self._results(result):
                if isinstance(event, self._target):
                    rows.append(row)
                    events.append(event)
                else:
                    wrong = TypeError(
                        f"expected {self._target.__name__}, got {type(event).__name__}"
                    )
                    batch.fail(int(live[SEQ][row]), self._name, wrong)
        made, rows = self._sealed(self._target.to_frame(events), rows, live, batch)
        out = live.select(SYSTEM)[rows].hstack(made).select(self._empty.columns)
        gone = frame.filter(pl.col(TOMBSTONE))
        if gone.height and not self._many:
            nulls = [
                pl.lit(None, dtype).alias(column)
                for column, dtype in self._empty.schema.items()
                if column not in SYSTEM
            ]
            out = in_order([out, gone.select(*SYSTEM, *nulls).select(self._empty.columns)])
        return out

    def _sealed(
        self, made: pl.DataFrame, rows: list[int], live: pl.DataFrame, batch: Batch
    ) -> tuple[pl.DataFrame, list[int]]:
        """The new events with personal data encrypted, and the rows that they are of.

        Where that fails for an event, its record is set apart.
        """
        try:
            return batch.sealed(made, RecordSchema.of(self._target).marks), rows
        except EncodeError as error:
            wrong = {rows[at] for at in error.rows}
            for row in sorted(wrong):
                batch.fail(int(live[SEQ][row]), self._name, error)
            good = [at for at, row in enumerate(rows) if row not in wrong]
            return self._sealed(made[good], [rows[at] for at in good], live, batch)

    def _results(self, result: Any) -> Iterable[Event]:
        if result is None:
            return ()
        return result if self._many else (result,)


def call_each(
    name: str,
    function: Callable[[Any], Any],
    source: type[Event],
    frame: pl.DataFrame,
    batch: Batch,
) -> list[tuple[int, Any]]:
    """Call for each row's event, in order: the rows that succeeded, and what came of them."""
    events = source.from_frame(frame)
    seqs = frame[SEQ].to_list()
    done: list[tuple[int, Any]] = []
    if not inspect.iscoroutinefunction(function):
        for row, event in enumerate(events):
            result, error, tries = batch.attempt(partial(_call, function, event))
            if error is None:
                done.append((row, result))
            else:
                batch.fail(seqs[row], name, error, tries=tries)
        return done
    for row, (result, error, tries) in enumerate(
        batch.run_async(_call_all(function, events, batch))
    ):
        if error is None:
            done.append((row, result))
        else:
            batch.fail(seqs[row], name, error, tries=tries)
    return done


def _call(function: Callable[[Any], Any], event: Any) -> Any:
    """What a function makes of an event; a generator is run, so that its errors come out here."""
    result = function(event)
    return list(result) if inspect.isgenerator(result) else result


async def _call_all(
    function: Callable[[Any], Any], events: list[Event], batch: Batch
) -> list[tuple[Any, BaseException | None, int]]:
    """Call an async function for all events at once, at most a hundred at a time."""
    limit = asyncio.Semaphore(_CONCURRENT_CALLS)
    waits_s = batch.retry.waits_s()

    async def call(event: Event) -> tuple[Any, BaseException | None, int]:
        error: BaseException | None = None
        tries = 0
        async with limit:
            for wait_s in (0.0, *waits_s):
                if tries:
                    await asyncio.sleep(wait_s)
                tries += 1
                try:
                    return await function(event), None, tries
                except Exception as problem:  # noqa: BLE001 - whatever the user's raises
                    error = problem
        return None, error, tries

    return await asyncio.gather(*(call(event) for event in events))


def rekeyed(column: str | pl.Expr, dtype: pl.DataType) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Give records another key."""
    key = pl.col(column) if isinstance(column, str) else column

    def function(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(key.cast(dtype).alias(KEY))

    return function
