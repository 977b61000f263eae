"""A column of bytes is the same however it is held, and is read the same in pieces."""

from __future__ import annotations

import random

import polars as pl
import pyarrow as pa
import pytest

from vagus.events import AvroCodec, BytesColumn, Event, MemoryRegistry, RecordSchema
from vagus.events import column as columns


class Sample(Event):
    name: str
    counts: list[int]


def parts_of(random: random.Random) -> tuple[list[BytesColumn], list[bytes | None]]:
    """Columns held in all ways, and what is in them."""
    parts: list[BytesColumn] = []
    values: list[bytes | None] = []
    for _ in range(random.randint(0, 4)):
        size = random.randint(0, 5)
        some = [
            None if random.random() < 0.2 else random.randbytes(random.randint(0, 3))
            for _ in range(size)
        ]
        values += some
        part = BytesColumn(random.choice([some, pa.array(some, pa.binary())]))
        for other in (part.to_arrow, part.to_list):
            if random.random() < 0.3:
                other()
        parts.append(part)
    return parts, values


@pytest.mark.parametrize("seed", range(300))
def test_columns_one_after_another_are_their_values(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "_PIECE", 3)
    rng = random.Random(seed)
    parts, values = parts_of(rng)
    if len(parts) > 2 and rng.random() < 0.5:
        parts = [BytesColumn.concat(parts[:2]), *parts[2:]]
    whole = BytesColumn.concat(parts)
    start = rng.randint(0, len(values))
    present = [value for value in values if value is not None]
    checks = [
        lambda: len(whole) == len(values),
        lambda: whole.null_count == values.count(None),
        lambda: whole.nbytes == sum(map(len, present)),
        lambda: whole.to_arrow().to_pylist() == values,
        lambda: whole.to_list() == values,
        lambda: [value for _, piece in whole.pieces() for value in piece] == values,
        lambda: all(values[at] == piece[0] for at, piece in whole.pieces() if piece),
        lambda: whole.slice(start, len(values)).to_list() == values[start:],
        lambda: whole.without_nulls()[0].to_list() == present,
    ]
    rng.shuffle(checks)  # each may leave the column in another form
    assert [check() for check in checks] == [True] * len(checks)


@pytest.mark.parametrize("form", ["list", "array"])
def test_values_are_read_the_same_in_pieces(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = AvroCodec([RecordSchema.of(Sample)], MemoryRegistry(), "sample")
    frame = Sample.to_frame([Sample(name=f"n{at}", counts=[at] * (at % 3)) for at in range(10)])
    values = codec.encode(frame)
    held = BytesColumn(values.to_list() if form == "list" else values.to_arrow())
    monkeypatch.setattr(columns, "_PIECE", 3)
    assert codec.decode(held).frame.drop("_row").equals(frame)


def test_a_value_that_is_no_text_is_found_in_whichever_piece_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codec = AvroCodec([RecordSchema.of(Sample)], MemoryRegistry(), "sample")
    data = codec.encode(Sample.to_frame([Sample(name="ab", counts=[])] * 10)).to_list()
    data[7] = (data[7] or b"").replace(b"ab", b"\xff\xff")
    monkeypatch.setattr(columns, "_PIECE", 3)
    decoded = codec.decode(BytesColumn(pa.array(data, pa.binary())))
    assert [error.row for error in decoded.errors] == [7]
    assert decoded.frame["_row"].to_list() == [row for row in range(10) if row != 7]
    assert decoded.frame.select(pl.col("name").unique()).item() == "ab"
