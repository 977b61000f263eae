"""What all nodes have in common, and the rows whose values don't fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from vagus.events.column import truths

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["BadRows", "Names", "Node", "alive", "nulls", "validity"]


class BadRows:
    """The rows of a batch whose values don't fit, with the reason for each.

    `rows` given to `add` says for each element of a nested column which row it is part of; None
    means that elements are rows; -1 marks elements that are no part of any (under a null).
    """

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}

    def add(
        self, mask: NDArray[np.bool_], rows: NDArray[np.int64] | None, where: str, reason: str
    ) -> None:
        """Note the elements where `mask` is true."""
        hits = np.flatnonzero(mask)
        for row in (hits if rows is None else rows[hits]).tolist():
            if row >= 0:
                self.reasons.setdefault(row, f"{reason} in field {where!r}")


class Node(ABC):
    """One Avro type: how it is stored, and the Polars type that it is in a frame.

    `nullable` is whether it is in a union with null, `null_first` on which side. `fast` is
    whether the columnar library can read it.
    """

    fast = True

    def __init__(self, where: str, dtype: pl.DataType, logical: pa.DataType) -> None:
        self.where = where
        self.dtype = dtype
        self.logical = logical
        self.nullable = False
        self.null_first = True

    # Schemas

    @abstractmethod
    def plain_schema(self, names: Names) -> Any:
        """The Avro type without logical types."""

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        """The Avro type that the columnar library is told."""
        return self.plain_schema(names)

    def wrapped(self, inner: Any) -> Any:
        """The type, in a union with null if it is nullable."""
        if not self.nullable:
            return inner
        return ["null", inner] if self.null_first else [inner, "null"]

    # Columns

    @abstractmethod
    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        """Storage to logical."""

    @abstractmethod
    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        """Logical to storage, for the columnar library."""

    def check_nulls(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> None:
        """Note the nulls of a type that allows none."""
        if not self.nullable and array.null_count:
            bad.add(nulls(array), rows, self.where, "expected a value, got null")

    # Single values: schema defaults, and what the careful path reads

    @abstractmethod
    def plain_type(self) -> pa.DataType:
        """The Arrow type of a column made of `plain_value`s, which `read` takes as well."""

    def plain_value(self, value: Any) -> Any:
        """A value as the Avro library for single values reads it, fit for `plain_type`."""
        return value

    def default_value(self, value: Any) -> Any:
        """A schema's default, fit for `plain_type`."""
        return value

    def default_column(self, value: Any, count: int) -> pa.Array:
        """A logical column of a schema's default."""
        one = self.read(pa.array([self.default_or_null(value)], self.plain_type()), None, BadRows())
        return one.take(pa.array(np.zeros(count, dtype=np.int64)))

    def default_or_null(self, value: Any) -> Any:
        """A schema's default that may be null, fit for `plain_type`."""
        return None if value is None else self.default_value(value)


class Names:
    """Gives the named types of a schema new names, since their own are of no use in columns."""

    def __init__(self) -> None:
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"N{self._count}"


def nulls(array: pa.Array) -> NDArray[np.bool_]:
    """Where an array is null."""
    mask: NDArray[np.bool_] = truths(array.is_null())
    return mask


def validity(array: pa.Array) -> pa.Buffer | None:
    """The bits that say where an array has values; None if everywhere."""
    return array.is_valid().buffers()[1] if array.null_count else None


def alive(array: pa.Array, rows: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    """The rows of an array's elements, without those that are null."""
    if not array.null_count:
        return rows
    outer = np.arange(len(array)) if rows is None else rows
    return np.where(nulls(array), -1, outer)
