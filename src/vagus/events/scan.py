"""Finding the values of a batch that aren't whole Avro, many at a time.

The columnar library says that a batch has a bad value, but not which. This walks all values of a
batch at once, a field at a time, without reading what is in them. What it calls suspect is read
again with care, so that it may err on that side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vagus.events.nodes import Array, Enumeration, Fixed, Map, Node, Record, Scalar, Temporal, Union
from vagus.events.nodes import Decimal as DecimalNode

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["suspects"]

_SIZES = {"boolean": 1, "float": 4, "double": 8}
_VARINT_BYTES = 10
_ITEMS_MAX = 1_000  # of one list; a longer one is left to be read with care


def suspects(array: pa.BinaryArray, skip: int, nodes: Iterable[Node]) -> NDArray[np.bool_]:
    """Which values don't hold what the nodes say, `skip` bytes from their start. No nulls."""
    count = len(array)
    ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
    data = np.frombuffer(array.buffers()[2] or b"\0", dtype=np.uint8)
    walk = _Walk(data, ends[1:].astype(np.int64))
    rows = np.arange(count)
    at = ends[:-1].astype(np.int64) + skip
    for node in nodes:
        at = walk.over(node, rows, at)
    # Less than its value is more than the one says who wrote it: read such a one with care, too.
    walk.bad |= at != walk.stops
    return walk.bad


class _Walk:
    """Where in each value we are. Those that are bad stay where they are."""

    def __init__(self, data: NDArray[np.uint8], stops: NDArray[np.int64]) -> None:
        self.data = data
        self.stops = stops
        self.bad = np.zeros(len(stops), dtype=bool)

    def over(self, node: Node, rows: NDArray[np.int64], at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places after a value of the node's type, in these rows."""
        if isinstance(node, Union):
            kinds: list[Node | None] = list(node.branches.values())
            if node.null_place is not None:
                kinds.insert(node.null_place, None)
            return self._branches(kinds, rows, at)
        if node.nullable:
            both = [None, node] if node.null_first else [node, None]
            return self._branches(both, rows, at)
        return self._plain(node, rows, at)

    def _branches(
        self, kinds: list[Node | None], rows: NDArray[np.int64], at: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        which, at = self._varint(rows, at)
        self._mark(rows, (which < 0) | (which >= len(kinds)))
        for place, kind in enumerate(kinds):
            if kind is None:
                continue
            chosen = which == place
            if chosen.all():
                return self._plain(kind, rows, at)
            if chosen.any():
                at[chosen] = self._plain(kind, rows[chosen], at[chosen])
        return at

    def _plain(
        self, node: Node, rows: NDArray[np.int64], at: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        if isinstance(node, Record):
            for part in node.fields.values():
                at = self.over(part, rows, at)
            return at
        if isinstance(node, Array):
            return self._blocks([node.item], rows, at)
        if isinstance(node, Map):
            return self._blocks([node.key, node.value], rows, at)
        if isinstance(node, Fixed) and not (isinstance(node, DecimalNode) and node.in_bytes):
            return self._on(rows, at, node.size)
        if isinstance(node, Scalar) and node.kind in _SIZES:
            if node.kind == "boolean":
                self._mark(rows, self.data.take(at, mode="clip") > 1)
            return self._on(rows, at, _SIZES[node.kind])
        number, at = self._varint(rows, at)
        if isinstance(node, Enumeration):
            self._mark(rows, (number < 0) | (number >= len(node.symbols)))
        elif not isinstance(node, Temporal) and not _is_number(node):
            return self._on(rows, at, number)
        return at

    def _blocks(
        self, items: list[Node], rows: NDArray[np.int64], at: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Past the blocks of a list: a count, its items, and so on until a count of none."""
        left = np.full(len(rows), -1, dtype=np.int64)  # -1: the next is a count
        for _ in range(_ITEMS_MAX):
            fresh = np.flatnonzero((left < 0) & ~self.bad[rows])
            if len(fresh):
                left[fresh], at[fresh] = self._varint(rows[fresh], at[fresh])
                sized = fresh[left[fresh] < 0]  # a negative count has a size behind it
                if len(sized):
                    left[sized] = -left[sized]
                    _, at[sized] = self._varint(rows[sized], at[sized])
            busy = np.flatnonzero((left > 0) & ~self.bad[rows])
            if not len(busy):
                return at
            here = at[busy]
            for item in items:
                here = self.over(item, rows[busy], here)
            at[busy] = here
            left[busy] -= 1
            left[busy[left[busy] == 0]] = -1
        self._mark(rows, left != 0)
        return at

    def _varint(
        self, rows: NDArray[np.int64], at: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The numbers there, and the places behind them."""
        first = self.data.take(at, mode="clip")
        number = (first & 0x7F).astype(np.uint64)
        at = at + 1
        more = np.flatnonzero(first & 0x80)
        for place in range(1, _VARINT_BYTES):
            if not len(more):
                break
            byte = self.data.take(at[more], mode="clip")
            number[more] |= (byte & 0x7F).astype(np.uint64) << np.uint64(7 * place)
            at[more] += 1
            more = more[byte & 0x80 != 0]
        over = at > self.stops[rows]
        over[more] = True  # longer than any number
        self._mark(rows, over)
        number = (number >> np.uint64(1)) ^ (~(number & np.uint64(1)) + np.uint64(1))
        return number.view(np.int64), at

    def _on(
        self, rows: NDArray[np.int64], at: NDArray[np.int64], by: NDArray[np.int64] | int
    ) -> NDArray[np.int64]:
        wrong = self.stops[rows] - at < by
        if not isinstance(by, int):
            wrong |= by < 0
        self._mark(rows, wrong)
        return np.where(wrong, at, at + by)

    def _mark(self, rows: NDArray[np.int64], wrong: NDArray[np.bool_]) -> None:
        if wrong.any():
            self.bad[rows[wrong]] = True


def _is_number(node: Node) -> bool:
    return isinstance(node, Scalar) and node.kind in ("int", "long")
