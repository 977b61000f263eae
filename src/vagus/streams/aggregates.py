"""Aggregates: what is made of many events.

An aggregate works on columns in three moves: `partial` makes one row for each group of a batch,
`merge` joins it with what the state holds, `result` reads the answer off. What is kept between
batches is its accumulators. Nulls are left out, as in SQL, save where it says otherwise.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError
from vagus.runtime.frame import SEQ

if TYPE_CHECKING:
    from collections.abc import Callable

    # Told of a record for which a function of the user's raised: its number, the error, how to
    # call again, and what to go on with if that fails too. Gives what to go on with.
    Fail = Callable[[int, BaseException, Callable[[], Any], Any], Any]

OLD = "_old"


@dataclass(frozen=True)
class Aggregate:
    """An aggregate over a column or expression.

    `count`, `mean` and the other functions of that kind make them; `Stream.group_by` and
    `.window` take them.

    >>> isinstance(mean("speed_kmh"), Aggregate)
    True
    """

    input: pl.Expr = field(default_factory=lambda: pl.lit(True))

    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        """The columns of state, for an input of type `dtype`."""
        return {name: dtype}

    def partial(self, name: str) -> list[pl.Expr]:
        """Accumulators of one group of a batch, from the input column `name`."""
        raise TypeError(f"{type(self).__name__} is not an aggregate")

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        """Accumulators made of those of the batch and of the state, which end in `_old`."""
        raise TypeError(f"{type(self).__name__} is not an aggregate")

    def result(self, name: str) -> pl.Expr:
        """The answer, from the accumulators."""
        return pl.col(name)

    def difference(self, _name: str) -> list[pl.Expr] | None:
        """`partial` for rows that replace others (`{name}` and `{name}_old`), or None.

        Only aggregates that can take a value back have it.
        """
        return None

    def describe(self) -> str:
        """What the aggregate means, for a comparison with what it meant before."""
        return f"{type(self).__name__}({self.input})"


def _number(dtype: pl.DataType, what: str) -> None:
    if not (dtype.is_numeric() or dtype == pl.Duration or dtype == pl.Boolean):
        raise DeclarationError(
            f"expected a column of numbers for {what}, got {dtype}",
            hint="cast it, or use count, first, last, min, max or collect",
        )


@dataclass(frozen=True)
class _Count(Aggregate):
    every: bool = True

    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        return {name: pl.Int64()}

    def partial(self, name: str) -> list[pl.Expr]:
        counted = pl.len() if self.every else pl.col(name).count()
        return [counted.cast(pl.Int64).alias(name)]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        return [pl.col(name) + pl.col(name + OLD).fill_null(0)]

    def difference(self, name: str) -> list[pl.Expr]:
        new, old = pl.col(name).count().cast(pl.Int64), pl.col(name + OLD).count().cast(pl.Int64)
        return [(new - old).alias(name)]


@dataclass(frozen=True)
class _Sum(Aggregate):
    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        _number(dtype, "a sum")
        return {name: pl.DataFrame(schema={name: dtype}).select(pl.col(name).sum())[name].dtype}

    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).sum()]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        return [pl.col(name) + pl.coalesce(name + OLD, pl.col(name) - pl.col(name))]

    def difference(self, name: str) -> list[pl.Expr]:
        return [(pl.col(name).sum() - pl.col(name + OLD).sum()).alias(name)]


@dataclass(frozen=True)
class _Mean(Aggregate):
    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        _number(dtype, "a mean")
        return {f"{name}_sum": pl.Float64(), f"{name}_count": pl.Int64()}

    def partial(self, name: str) -> list[pl.Expr]:
        value = pl.col(name)
        return [
            value.sum().cast(pl.Float64).alias(f"{name}_sum"),
            value.count().cast(pl.Int64).alias(f"{name}_count"),
        ]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        parts = (f"{name}_sum", f"{name}_count")
        return [pl.col(part) + pl.col(part + OLD).fill_null(0) for part in parts]

    def result(self, name: str) -> pl.Expr:
        count = pl.col(f"{name}_count")
        return pl.when(count > 0).then(pl.col(f"{name}_sum") / count).alias(name)

    def difference(self, name: str) -> list[pl.Expr]:
        new, old = pl.col(name), pl.col(name + OLD)
        return [
            (new.sum() - old.sum()).cast(pl.Float64).alias(f"{name}_sum"),
            (new.count().cast(pl.Int64) - old.count().cast(pl.Int64)).alias(f"{name}_count"),
        ]


@dataclass(frozen=True)
class _Least(Aggregate):
    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).min()]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        new, old = pl.col(name), pl.col(name + OLD)
        return [pl.when((old <= new).fill_null(new.is_null())).then(old).otherwise(new).alias(name)]


@dataclass(frozen=True)
class _Greatest(Aggregate):
    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).max()]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        new, old = pl.col(name), pl.col(name + OLD)
        return [pl.when((old >= new).fill_null(new.is_null())).then(old).otherwise(new).alias(name)]


@dataclass(frozen=True)
class _First(Aggregate):
    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).drop_nulls().first()]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        return [pl.coalesce(name + OLD, name).alias(name)]


@dataclass(frozen=True)
class _Last(Aggregate):
    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).drop_nulls().last()]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        return [pl.coalesce(name, name + OLD).alias(name)]


@dataclass(frozen=True)
class _Collect(Aggregate):
    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        return {name: pl.List(dtype)}

    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name)]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        old = pl.col(name + OLD)
        joined = old.list.concat(name)
        return [pl.when(old.is_null()).then(pl.col(name)).otherwise(joined).alias(name)]


@dataclass(frozen=True)
class _DistinctCount(_Collect):
    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.col(name).drop_nulls().unique(maintain_order=True)]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        old = pl.col(name + OLD)
        joined = old.list.concat(name).list.unique(maintain_order=True)
        return [pl.when(old.is_null()).then(pl.col(name)).otherwise(joined).alias(name)]

    def result(self, name: str) -> pl.Expr:
        return pl.col(name).list.len().cast(pl.Int64)


@dataclass(frozen=True)
class _Fold(Aggregate):
    initial: Any = None
    function: Callable[[Any, Any], Any] = field(default=lambda state, value: state)
    dtype: pl.DataType = field(default_factory=pl.String)

    def accumulators(self, name: str, dtype: pl.DataType) -> dict[str, pl.DataType]:
        return {name: self.dtype}

    def partial(self, name: str) -> list[pl.Expr]:
        return [pl.struct(pl.col(SEQ), pl.col(name).alias("value")).alias(name)]

    def merge(self, name: str, frame: pl.DataFrame, fail: Fail) -> list[pl.Expr | pl.Series]:
        known = f"{name}{OLD}"
        states = []
        # The one place where the engine calls Python for each event: the fold is Python.
        for found, old, values in zip(
            frame["_found"].to_list(), frame[known].to_list(), frame[name].to_list(), strict=True
        ):
            state = old if found else copy.deepcopy(self.initial)
            for value in values:
                call = partial(self.function, state, value["value"])
                try:
                    state = call()
                except Exception as error:  # noqa: BLE001 - whatever the fold raises
                    state = fail(value[SEQ], error, call, state)
            states.append(state)
        return [pl.Series(name, states, dtype=self.dtype)]

    def describe(self) -> str:
        name = getattr(self.function, "__qualname__", repr(self.function))
        return f"fold({self.input}, {self.initial!r}, {name}, {self.dtype})"


def handed_on(aggregate: Aggregate) -> str | None:
    """The column whose values the aggregate gives on unchanged, if it does no more than that."""
    if isinstance(aggregate, (_First, _Last)) and aggregate.input.meta.is_column():
        return aggregate.input.meta.output_name()
    return None


def _input(column: str | pl.Expr) -> pl.Expr:
    return pl.col(column) if isinstance(column, str) else column


def count(column: str | pl.Expr | None = None) -> Aggregate:
    """How many events; with a column, how many in which it is not null.

    >>> count().describe().startswith("_Count")
    True
    """
    if column is None:
        return _Count()
    return _Count(_input(column), every=False)


def sum(column: str | pl.Expr) -> Aggregate:
    """The sum of a column of numbers; 0 where all are null.

    >>> sum("amount").result("total").meta.output_name()
    'total'
    """
    return _Sum(_input(column))


def mean(column: str | pl.Expr) -> Aggregate:
    """The mean of a column of numbers; null where all are null.

    >>> mean("speed_kmh").result("speed").meta.output_name()
    'speed'
    """
    return _Mean(_input(column))


def min(column: str | pl.Expr) -> Aggregate:
    """The least value.

    >>> min("price").result("lowest").meta.output_name()
    'lowest'
    """
    return _Least(_input(column))


def max(column: str | pl.Expr) -> Aggregate:
    """The greatest value.

    >>> max("price").result("highest").meta.output_name()
    'highest'
    """
    return _Greatest(_input(column))


def first(column: str | pl.Expr) -> Aggregate:
    """The first value that is not null, in the order of processing.

    >>> first("gate").result("gate").meta.output_name()
    'gate'
    """
    return _First(_input(column))


def last(column: str | pl.Expr) -> Aggregate:
    """The last value that is not null, in the order of processing.

    >>> last("gate").result("gate").meta.output_name()
    'gate'
    """
    return _Last(_input(column))


def collect(column: str | pl.Expr) -> Aggregate:
    """All values as a list, nulls included, in the order of processing. It grows without bound.

    >>> collect("gate").result("gates").meta.output_name()
    'gates'
    """
    return _Collect(_input(column))


def distinct_count(column: str | pl.Expr) -> Aggregate:
    """How many different values, exactly: the state holds each of them.

    >>> distinct_count("tail_number").result("planes").meta.output_name()
    'planes'
    """
    return _DistinctCount(_input(column))


def fold(
    column: str | pl.Expr,
    function: Callable[[Any, Any], Any],
    *,
    initial: Any,
    dtype: pl.DataType | type[pl.DataType],
) -> Aggregate:
    """An aggregate of your own: `function(state, value)` gives the next state.

    It is called for each event, in order, nulls included; `initial` is the state before the first
    and `dtype` the Polars type of the state. An event for which it raises becomes a dead letter
    and leaves the state as it was, also of other aggregates computed with it.

    >>> letters = fold("name", lambda s, v: s + len(v), initial=0, dtype=pl.Int64)
    >>> letters.result("letters").meta.output_name()
    'letters'
    """
    instance = dtype() if isinstance(dtype, type) else dtype
    return _Fold(_input(column), initial, function, instance)
