"""Writing a few rows of plain types as Avro, value by value.

The columnar library has a thread of its own do the work, and to wake it takes longer than a hundred
such rows do here; the Avro library for single values takes eight times as long as this for each.
"""

from __future__ import annotations

import struct
from itertools import repeat
from typing import TYPE_CHECKING, Any

from vagus.events.nodes import Scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl

    from vagus.events.nodes import Node

__all__ = ["FEW", "RowWriter"]

FEW = 256
"""Up to so many rows are few."""


class RowWriter:
    """Writes rows of booleans, numbers, text and bytes, with or without nulls."""

    def __init__(self, nodes: Iterable[Scalar]) -> None:
        self._columns = list(map(_Column, nodes))

    @staticmethod
    def of(nodes: Iterable[Node]) -> RowWriter | None:
        """A writer of these types; None if one of them is not as plain as that."""
        every = list(nodes)
        plain = [node for node in every if isinstance(node, Scalar) and not node.uuid]
        return RowWriter(plain) if len(plain) == len(every) else None

    def write(self, columns: list[pl.Series], count: int, head: bytes) -> list[bytes | None] | None:
        """So many rows, each behind `head`; None if there is a null that mustn't be."""
        written: list[list[bytes]] = []
        for series, column in zip(columns, self._columns, strict=True):
            if series.null_count() and not column.nullable:
                return None
            written.append(column.write(series.to_list()))
        return [b"".join(row) for row in zip(repeat(head, count), *written, strict=True)]


class _Column:
    """How the values of one column are written (Avro 1.12, "Binary encoding")."""

    def __init__(self, node: Scalar) -> None:
        self.nullable = node.nullable
        self._write = _WRITE[node.kind]
        branches = b"\0", b"\2"
        self._null, self._value = branches if node.null_first else branches[::-1]

    def write(self, values: list[Any]) -> list[bytes]:
        write, null, value = self._write, self._null, self._value
        if self.nullable:
            return [null if one is None else value + write(one) for one in values]
        return list(map(write, values))


def _number(value: int) -> bytes:
    """Zigzag, then seven bits a byte, the lowest first."""
    bits = value << 1 if value >= 0 else (-value << 1) - 1
    if bits < len(_SHORT):
        return _SHORT[bits]
    return _seven_bits(bits)


def _seven_bits(bits: int) -> bytes:
    found = bytearray()
    while bits > 0x7F:
        found.append(bits & 0x7F | 0x80)
        bits >>= 7
    found.append(bits)
    return bytes(found)


def _sized(value: bytes) -> bytes:
    return _number(len(value)) + value


_SHORT = [_seven_bits(bits) for bits in range(2_048)]
_WRITE: dict[str, Callable[[Any], bytes]] = {
    "boolean": lambda value: b"\1" if value else b"\0",
    "int": _number,
    "long": _number,
    "float": struct.Struct("<f").pack,
    "double": struct.Struct("<d").pack,
    "string": lambda value: _sized(value.encode()),
    "bytes": _sized,
}
