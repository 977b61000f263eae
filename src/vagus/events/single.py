"""The careful path: values read one by one with fastavro, to tell the bad ones from the good."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa

from vagus.events.nodes import BadRows, Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vagus.events.schema import RecordSchema

__all__ = ["SingleReader"]

_NO_ROWS = np.empty(0, dtype=np.int64)


class SingleReader:
    """Reads values of one schema into logical columns."""

    def __init__(self, schema: RecordSchema) -> None:
        self._nodes = schema.nodes
        names = Names()
        fields = [
            {"name": name, "type": node.wrapped(node.plain_schema(names))}
            for name, node in schema.nodes.items()
        ]
        self._schema = fastavro.parse_schema({"type": "record", "name": "R", "fields": fields})

    def read(
        self, data: Sequence[bytes | None], skip: int, bad: BadRows
    ) -> tuple[list[pa.Array], NDArray[np.int64]]:
        """The columns of the sound values, and their rows; the others go to `bad`."""
        records: list[Any] = []
        rows: list[int] = []
        for row, value in enumerate(data):
            stream = io.BytesIO(value or b"")
            stream.seek(skip)
            try:
                record: Any = fastavro.schemaless_reader(stream, self._schema, None)
                records.append(
                    [
                        None if record[name] is None else node.plain_value(record[name])
                        for name, node in self._nodes.items()
                    ]
                )
                rows.append(row)
            except Exception as error:  # noqa: BLE001 (whatever it is, the value is bad)
                bad.reasons[row] = _reason(error)
        pieces = self._pieces(records, rows, bad)
        if not pieces:
            return [pa.nulls(0, node.logical) for node in self._nodes.values()], _NO_ROWS
        columns = [
            pa.concat_arrays(parts) for parts in zip(*(each for each, _ in pieces), strict=True)
        ]
        return columns, np.concatenate([each for _, each in pieces])

    def _pieces(
        self, records: list[Any], rows: list[int], bad: BadRows
    ) -> list[tuple[list[pa.Array], NDArray[np.int64]]]:
        """Columns of the records and their rows, cut where one was taken out."""
        if not records:
            return []
        here = BadRows()
        reason = ""
        try:
            columns = [
                node.read(
                    pa.array([record[place] for record in records], node.plain_type()), None, here
                )
                for place, node in enumerate(self._nodes.values())
            ]
        except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
            reason = _reason(error)
        else:
            if not here.reasons:
                return [(columns, np.array(rows, dtype=np.int64))]
            kept = [place for place in range(len(records)) if place not in here.reasons]
            for place, why in here.reasons.items():
                bad.reasons[rows[place]] = why
            # Read again, so that nothing of a bad value is left in the columns.
            return self._pieces([records[at] for at in kept], [rows[at] for at in kept], bad)
        if len(records) == 1:
            bad.reasons[rows[0]] = reason
            return []
        half = len(records) // 2
        return [
            *self._pieces(records[:half], rows[:half], bad),
            *self._pieces(records[half:], rows[half:], bad),
        ]


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, EOFError | IndexError) and not text.startswith("expected"):
        return "expected more bytes: the value is cut off, or was written with another schema"
    return text if text.startswith("expected") else f"expected Avro: {text or repr(error)}"
