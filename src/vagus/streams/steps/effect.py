"""Handlers: functions called for what they do outside of Vagus."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import VagusError
from vagus.events import Field
from vagus.runtime.frame import KEY, SEQ, TIME, TIME_TYPE, TOMBSTONE
from vagus.streams.fields import marks_read
from vagus.streams.handlers import Breaker, BreakerOpen, Call

if TYPE_CHECKING:
    from vagus.runtime.batch import Batch, Retry
    from vagus.runtime.store import Store

__all__ = ["HELD", "Care", "Effect"]

HELD = {"held": Field.of("held", pl.Int64(), nullable=False)}
"""For each key, how many of its events wait among the dead letters."""

_CONCURRENT_CALLS = 100


@dataclass(frozen=True)
class Care:
    """What is done for a handler: retries of its own, order by key, and a breaker."""

    retry: Retry | None = None
    in_order: bool = False
    breaker: Breaker | None = None


class _Gate:
    """The breaker at work."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._failed = 0
        self._closed_until_ms = 0
        self._last: BaseException | None = None

    def check(self, now_ms: int) -> None:
        """Raise BreakerOpen if no call is to be made."""
        if now_ms < self._closed_until_ms:
            raise BreakerOpen(
                f"not called: {self._failed} calls in a row had failed, the last with "
                f"{type(self._last).__name__}: {self._last}",
                hint="replay the dead letter when what the handler calls works again",
            )

    def heard(self, error: BaseException | None, now_ms: int) -> None:
        """Note how a call went."""
        self._failed = 0 if error is None else self._failed + 1
        self._last = error
        if error is not None and self._failed >= self._breaker.failures:
            self._closed_until_ms = now_ms + self._breaker.cool_ms


@dataclass
class _Handed:
    """An event to be handed to the handler, and how that went."""

    seq: int
    key: Any
    event: Any
    idempotency_key: str
    error: BaseException | None = None
    tries: int = 0


class Effect:
    """Calls a handler for each event; gives nothing on.

    Handlers are called before the commit, hence at least once. `held` counts, for each key, the
    events that wait among the dead letters; it is there if they are to be handled in order.
    """

    def __init__(
        self,
        name: str,
        handler: Callable[..., Any],
        source: Any,
        empty: pl.DataFrame,
        care: Care,
        held: Store | None,
    ) -> None:
        self._name, self._handler, self._source, self._empty = name, handler, source, empty
        self._marks = marks_read(source)
        self._care, self._held = care, held
        self._gate = None if care.breaker is None else _Gate(care.breaker)
        self._is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(handler, "__call__", None)  # noqa: B004 - an object may be called, too
        )
        self._told = takes_call(handler)

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        live = batch.opened(self._name, inputs[0].filter(~pl.col(TOMBSTONE)), self._marks)
        handed = self._take(live, batch)
        held = self._held_before({one.key for one in handed})
        if self._is_async:
            batch.run_async(self._hand_async(handed, held, batch))
        else:
            for one in handed:
                self._hand(one, held, batch)
        for one in handed:
            if one.error is not None:
                batch.fail(one.seq, self._name, one.error, tries=one.tries)
        self._keep(held, batch)
        return self._empty

    def _take(self, live: pl.DataFrame, batch: Batch) -> list[_Handed]:
        events = self._source.from_frame(live)
        handed: list[_Handed] = []
        before: dict[int, int] = {}
        for seq, key, event in zip(live[SEQ].to_list(), live[KEY].to_list(), events, strict=True):
            number = before[seq] = before.get(seq, -1) + 1
            place = batch.origins.place(seq)
            several = f"#{number}" if number else ""
            handed.append(_Handed(seq, key, event, f"{self._name}/{place}{several}"))
        return handed

    # Calls

    def _hand(self, one: _Handed, held: dict[Any, int], batch: Batch) -> None:
        if self._waits(one, held, batch):
            return
        for wait_s in (0.0, *self._retry(batch).waits_s()):
            if one.tries:
                batch.sleep(wait_s)
            if not self._may_call(one, batch):
                break
            try:
                self._call(one)
            except Exception as error:  # noqa: BLE001 - whatever the user's function raises
                self._heard(one, error, batch)
            else:
                self._heard(one, None, batch)
                break
        self._went(one, held, batch)

    async def _hand_async(self, handed: list[_Handed], held: dict[Any, int], batch: Batch) -> None:
        """All at once, at most a hundred at a time; those of a key in order, if it matters."""
        limit = asyncio.Semaphore(_CONCURRENT_CALLS)
        chains: dict[Any, list[_Handed]] = {}
        for number, one in enumerate(handed):
            chains.setdefault(one.key if self._care.in_order else number, []).append(one)

        async def follow(chain: list[_Handed]) -> None:
            for one in chain:
                if not self._waits(one, held, batch):
                    async with limit:
                        await self._try_async(one, batch)
                    self._went(one, held, batch)

        await asyncio.gather(*(follow(chain) for chain in chains.values()))

    async def _try_async(self, one: _Handed, batch: Batch) -> None:
        for wait_s in (0.0, *self._retry(batch).waits_s()):
            if one.tries:
                await asyncio.sleep(wait_s)
            if not self._may_call(one, batch):
                return
            try:
                await self._call(one)
            except Exception as error:  # noqa: BLE001 - whatever the user's function raises
                self._heard(one, error, batch)
            else:
                self._heard(one, None, batch)
                return

    def _call(self, one: _Handed) -> Any:
        if self._told:
            return self._handler(one.event, Call(one.idempotency_key, one.tries))
        return self._handler(one.event)

    def _retry(self, batch: Batch) -> Retry:
        return self._care.retry or batch.retry

    def _may_call(self, one: _Handed, batch: Batch) -> bool:
        if self._gate is None:
            return True
        try:
            self._gate.check(batch.now_ms)
        except BreakerOpen as closed:
            one.error = one.error or closed
            return False
        return True

    def _heard(self, one: _Handed, error: BaseException | None, batch: Batch) -> None:
        one.error = error
        one.tries += 1
        if self._gate is not None:
            self._gate.heard(error, batch.now_ms)

    # Order

    def _held_before(self, keys: set[Any]) -> dict[Any, int]:
        """How many events of each key wait. Empty where order doesn't matter."""
        if self._held is None:
            return {}
        found = {}
        for key in keys:
            for row in self._held.rows_of(key):
                found[key] = dict(zip(self._held.schema, row, strict=True))["held"]
        return found

    def _waits(self, one: _Handed, held: dict[Any, int], batch: Batch) -> bool:
        """Whether an earlier event of the key has yet to be handled."""
        if batch.replay or not held.get(one.key):
            return False
        one.error = VagusError(
            f"an earlier event of key {one.key!r} could not be handled",
            where=self._name,
            hint="replay the dead letters of this handler, all of them",
        )
        held[one.key] += 1
        return True

    def _went(self, one: _Handed, held: dict[Any, int], batch: Batch) -> None:
        if self._held is None:
            return
        if one.error is None and batch.replay:
            held[one.key] = max(0, held.get(one.key, 0) - 1)
        elif one.error is not None and not batch.replay:
            held[one.key] = held.get(one.key, 0) + 1

    def _keep(self, held: dict[Any, int], batch: Batch) -> None:
        if self._held is None or not held:
            return
        schema = {KEY: self._held.schema[KEY], "held": pl.Int64()}
        rows = pl.DataFrame({KEY: list(held), "held": list(held.values())}, schema=schema)
        self._held.stage(
            rows.with_columns(
                pl.lit(batch.now_ms).cast(TIME_TYPE).alias(TIME),
                (pl.col("held") == 0).alias(TOMBSTONE),
            )
        )


def takes_call(handler: Callable[..., Any]) -> bool:
    """Whether a handler has a second argument, for what it is told of the call."""
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [
        one
        for one in parameters
        if one.kind in positional and one.default is inspect.Parameter.empty
    ]
    return len(needed) > 1
