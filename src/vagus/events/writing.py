"""Writing frames as Avro under one schema id."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import pyruhvro

from vagus.errors import DeclarationError
from vagus.events.column import BytesColumn
from vagus.events.frames import arrow_of, raise_bad
from vagus.events.nodes import BadRows, Names
from vagus.events.rowwriter import FEW, RowWriter

if TYPE_CHECKING:
    import polars as pl

    from vagus.events.schema import RecordSchema

__all__ = ["HEAD_BYTES", "Writer", "framed_schema"]

HEAD_BYTES = 5  # zero, and four of the schema id


class Writer:
    """Writes frames of one schema under one id."""

    def __init__(self, schema: RecordSchema, schema_id: int, topic: str) -> None:
        for name, node in schema.nodes.items():
            if not node.fast:
                raise DeclarationError(
                    "expected a type that can be written, got a fixed whose size is no multiple "
                    "of four",
                    where=f"{topic}.{name}",
                    hint="use bytes",
                )
        self.schema = schema
        self.topic = topic
        self._id = schema_id.to_bytes(4, "big")
        self._rows = RowWriter.of(schema.nodes.values())
        self._avro = framed_schema(schema, reading=False)
        self._names = ["magic", "id", *(f"c{place}" for place in range(len(schema.nodes)))]

    def write(self, columns: list[pl.Series], count: int) -> BytesColumn:
        """So many rows of the schema's columns, in its types, as values."""
        if not count:
            return BytesColumn(pa.array([], pa.binary()))
        if self._rows is not None and count <= FEW:
            values = self._rows.write(columns, count, b"\0" + self._id)
            if values is not None:
                return BytesColumn(values)
        bad = BadRows()
        nodes = self.schema.nodes.values()
        arrays = [
            node.write(arrow_of(column), None, bad)
            for column, node in zip(columns, nodes, strict=True)
        ]
        raise_bad(bad, self.topic)
        zeros = pa.Array.from_buffers(
            pa.bool_(), count, [None, pa.py_buffer(bytes((count + 7) // 8))]
        )
        ids = pa.Array.from_buffers(pa.float32(), count, [None, pa.py_buffer(self._id * count)])
        batch = pa.RecordBatch.from_arrays([zeros, ids, *arrays], names=self._names)
        parts = pyruhvro.serialize_record_batch(batch, self._avro, 1)
        return BytesColumn(parts[0] if len(parts) == 1 else pa.concat_arrays(parts))


def framed_schema(schema: RecordSchema, *, reading: bool) -> str:
    """What the columnar library is told of a schema, with the framing at its head."""
    names = Names()
    # The names of the fields could clash with these two.
    fields = [{"name": "magic", "type": "boolean"}, {"name": "id", "type": "float"}]
    fields += [
        {"name": f"c{place}", "type": node.wrapped(node.library_schema(names, reading=reading))}
        for place, node in enumerate(schema.nodes.values())
    ]
    return json.dumps({"type": "record", "name": "Framed", "fields": fields})
