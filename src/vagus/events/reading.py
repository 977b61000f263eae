"""Reading the Avro values of one schema id: all at once, and where some are bad, the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyruhvro

from vagus.events.evolve import frame_of, resolve_record
from vagus.events.nodes import BadRows
from vagus.events.scan import suspects
from vagus.events.single import SingleReader
from vagus.events.writing import HEAD_BYTES, framed_schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vagus.events.column import BytesColumn
    from vagus.events.schema import RecordSchema

__all__ = ["Origin", "Reader", "without"]

_FEW = 16  # values among which a bad one is looked for one by one
_Piece = tuple[list[pa.Array], "NDArray[np.int64]"]


@dataclass(frozen=True)
class Origin:
    """Where the values of one schema are among those of a batch."""

    array: pa.BinaryArray
    places: NDArray[np.int64]

    def values(self) -> pa.BinaryArray:
        whole = len(self.places) == len(self.array)
        return self.array if whole else self.array.take(pa.array(self.places))


class Reader:
    """Reads values that were written under one id, as the schema that the topic has now."""

    def __init__(self, schema_id: int, writer: RecordSchema, target: RecordSchema) -> None:
        self.target = target
        self.fast = writer.fast
        self._writer = writer
        self._same = writer.json == target.json
        self._id_bits = int.from_bytes(schema_id.to_bytes(4, "big"), "little")
        self._avro = framed_schema(writer, reading=True)
        self._single = SingleReader(writer)
        self._resolve([pa.nulls(0, node.logical) for node in writer.nodes.values()], 0, BadRows())

    def _resolve(self, columns: list[pa.Array], count: int, bad: BadRows) -> list[pa.Array]:
        if self._same:
            return columns
        return resolve_record(self._writer, self.target, columns, count, bad)

    def read(self, values: BytesColumn, bad: BadRows) -> pl.DataFrame | None:
        """The frame of the values, or None if one of them is no such Avro or has another id.

        Rows that can't be what their type says are `bad`.
        """
        pieces = []
        for start, data in values.pieces():
            columns = self._stored(data)
            if columns is None:
                return None
            rows = np.arange(start, start + len(data)) if start else None
            pieces.append(self._logical(columns, rows, bad))
        whole = self._resolve(_joined(pieces), len(values), bad)
        return frame_of(whole, self.target.columns, len(values))

    def _stored(self, data: list[bytes | None]) -> list[pa.Array] | None:
        """The columns in storage form, or None if a value is unsound or has another id."""
        try:
            batch = pyruhvro.deserialize_array(data, self._avro)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # noqa: BLE001 (the library panics with no Exception)
            return None
        columns: list[pa.Array] = batch.columns
        magic, ids = columns[:2]
        bits = np.frombuffer(ids.buffers()[1], dtype=np.uint32)[ids.offset :][: len(ids)]
        if magic.true_count or not (bits == self._id_bits).all():
            return None
        return columns[2:]

    def _logical(
        self, columns: list[pa.Array], rows: NDArray[np.int64] | None, bad: BadRows
    ) -> list[pa.Array]:
        """What columns in storage form mean; None for their rows if these are the first."""
        return [
            node.read(column, rows, bad)
            for node, column in zip(self._writer.nodes.values(), columns, strict=True)
        ]

    def read_each(
        self, data: list[bytes | None], origin: Origin, *, tried: bool
    ) -> tuple[pl.DataFrame, NDArray[np.int64], BadRows]:
        """The frame of the values that can be read, their places, and the others.

        `tried` is whether it is known that they can't be read all at once.
        """
        bad = BadRows()
        places = np.arange(len(data))
        columns = self._sound(data) if self.fast and not tried else None
        pieces = self._sifted(data, places, origin, bad) if columns is None else [(columns, places)]
        columns = _joined([columns for columns, _ in pieces])
        kept = np.concatenate([places for _, places in pieces])
        late = BadRows()
        frame = frame_of(self._resolve(columns, len(kept), late), self.target.columns, len(kept))
        if late.reasons:
            for at, reason in late.reasons.items():
                bad.reasons[int(kept[at])] = reason
            frame, kept = without(frame, late), np.delete(kept, list(late.reasons))
        if len(pieces) > 1:
            order = np.argsort(kept, kind="stable")
            frame, kept = frame[order], kept[order]
        return frame, kept, bad

    def _sifted(
        self, data: list[bytes | None], places: NDArray[np.int64], origin: Origin, bad: BadRows
    ) -> list[_Piece]:
        """Logical columns and their places; what looks bad is first set apart."""
        if not self.fast or len(data) <= _FEW:
            return [self._read_single(data, places, bad)]
        odd = suspects(origin.values(), HEAD_BYTES, self._writer.nodes.values())
        if not odd.any():
            return self._pieces(data, places, bad)
        good, few = np.flatnonzero(~odd), np.flatnonzero(odd)
        pieces = [self._read_single([data[at] for at in few.tolist()], places[few], bad)]
        if len(good):
            pieces += self._pieces([data[at] for at in good.tolist()], places[good], bad)
        return pieces

    def _pieces(
        self, data: list[bytes | None], places: NDArray[np.int64], bad: BadRows
    ) -> list[_Piece]:
        """Logical columns and their places, by halves until bad values are among few others."""
        columns = self._sound(data)
        if columns is not None:
            return [(columns, places)]
        if len(data) <= _FEW:
            return [self._read_single(data, places, bad)]
        middle = len(data) // 2
        return [
            *self._pieces(data[:middle], places[:middle], bad),
            *self._pieces(data[middle:], places[middle:], bad),
        ]

    def _sound(self, data: list[bytes | None]) -> list[pa.Array] | None:
        """The logical columns of values that are all sound, else None."""
        columns = self._stored(data)
        if columns is None:
            return None
        bad = BadRows()
        logical = self._logical(columns, None, bad)
        return None if bad.reasons else logical

    def _read_single(
        self, data: list[bytes | None], places: NDArray[np.int64], bad: BadRows
    ) -> _Piece:
        here = BadRows()
        columns, rows = self._single.read(data, HEAD_BYTES, here)
        for row, reason in here.reasons.items():
            bad.reasons[int(places[row])] = reason
        return columns, places[rows]


def _joined(pieces: list[list[pa.Array]]) -> list[pa.Array]:
    """Columns in pieces as columns."""
    if len(pieces) == 1:
        return pieces[0]
    return [pa.concat_arrays(parts) for parts in zip(*pieces, strict=True)]


def without(frame: pl.DataFrame, bad: BadRows) -> pl.DataFrame:
    """The frame without its bad rows."""
    keep = np.ones(frame.height, dtype=bool)
    keep[list(bad.reasons)] = False
    return frame.filter(pl.Series(keep))
