"""The careful path: values read one by one with fastavro, to tell the bad ones from the good."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import fastavro
import pyarrow as pa

from vagus.events.nodes import BadRows, Names

if TYPE_CHECKING:
    from vagus.events.schema import RecordSchema

__all__ = ["SingleReader"]


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
        self, data: list[bytes | None], start: int, stop: int, skip: int, bad: BadRows
    ) -> list[pa.Array]:
        """The columns of the sound values among `data[start:stop]`; the others go to `bad`."""
        kept: list[list[pa.Array]] = []
        for row in range(start, stop):
            value = data[row]
            assert value is not None
            try:
                kept.append(self._columns(value, skip))
            except Exception as error:  # noqa: BLE001 (whatever it is, the value is bad)
                bad.reasons[row] = _reason(error)
        if not kept:
            return [pa.nulls(0, node.logical) for node in self._nodes.values()]
        return [pa.concat_arrays(parts) for parts in zip(*kept, strict=True)]

    def _columns(self, value: bytes, skip: int) -> list[pa.Array]:
        stream = io.BytesIO(value)
        stream.seek(skip)
        record: Any = fastavro.schemaless_reader(stream, self._schema, None)
        here = BadRows()
        columns = []
        for name, node in self._nodes.items():
            item = None if record[name] is None else node.plain_value(record[name])
            columns.append(node.read(pa.array([item], node.plain_type()), None, here))
        if here.reasons:
            raise ValueError(here.reasons[0])
        return columns


def _reason(error: Exception) -> str:
    text = str(error)
    if isinstance(error, EOFError | IndexError) and not text.startswith("expected"):
        return "expected more bytes: the value is cut off, or was written with another schema"
    return text if text.startswith("expected") else f"expected Avro: {text or repr(error)}"
