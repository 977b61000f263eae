"""Large batches of plain records are read in a way of their own, and give the same."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vagus as vg
from vagus.events import AvroCodec, BytesColumn, MemoryRegistry, RecordSchema

MANY = 2_000
SMALL = 100  # so few are left to the columnar library


class Plain(vg.Event):
    text: str
    number: int
    share: float
    sure: bool
    raw: bytes
    at: datetime
    day: date
    took: timedelta
    maybe_text: str | None
    maybe_number: int | None
    maybe_share: float | None
    maybe_sure: bool | None
    maybe_at: datetime | None


def codec() -> AvroCodec:
    return AvroCodec([RecordSchema.of(Plain)], MemoryRegistry(), "plain")


def nullable(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


TEXTS = st.text(max_size=30)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70) | st.integers(-(2**54), 2**54)
SHARES = st.floats(allow_nan=False)
TIMES = st.integers(-(2**51), 2**52).map(
    lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
EVENTS = st.builds(
    Plain,
    text=TEXTS,
    number=NUMBERS,
    share=SHARES,
    sure=st.booleans(),
    raw=st.binary(max_size=30),
    at=TIMES,
    day=st.dates(),
    took=st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    maybe_text=nullable(TEXTS),
    maybe_number=nullable(NUMBERS),
    maybe_share=nullable(SHARES),
    maybe_sure=nullable(st.booleans()),
    maybe_at=nullable(TIMES),
)
GENERATED = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def in_small_parts(values: list[bytes | None]) -> tuple[pl.DataFrame, list[tuple[int, bytes]]]:
    reader, frames, errors = codec_that_knows(), [], []
    for start in range(0, len(values), SMALL):
        decoded = reader.decode(BytesColumn(values[start : start + SMALL]))
        frames.append(decoded.frame.with_columns(pl.col("_row") + start))
        errors += [(bad.row + start, bad.value) for bad in decoded.errors]
    return pl.concat(frames).with_columns(pl.col("_row").cast(pl.UInt32)), errors


def codec_that_knows() -> AvroCodec:
    made = codec()
    made.encode(Plain.to_frame([]))
    made.encode(Plain.to_frame([example()]))
    return made


def example(number: int = 1) -> Plain:
    return Plain(
        text=f"text {number}", number=number, share=0.5, sure=True, raw=b"raw",
        at=datetime(2026, 1, 1, tzinfo=UTC), day=date(2026, 1, 1), took=timedelta(1),
        maybe_text=None, maybe_number=None, maybe_share=None, maybe_sure=None, maybe_at=None,
    )  # fmt: skip


@GENERATED
@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_a_large_batch_is_read_as_small_ones_are(events: list[Plain]) -> None:
    writer = codec()
    values = writer.encode(Plain.to_frame(events)).to_list()
    values = (values * (MANY // len(values) + 1))[:MANY]
    frame, errors = in_small_parts(values)
    decoded = writer.decode(BytesColumn(values))
    assert not errors
    assert not decoded.errors
    assert decoded.frame.equals(frame)


@GENERATED
@given(st.integers(0, 2**32))
def test_a_damaged_value_is_found_as_in_small_batches(seed: int) -> None:
    chance = random.Random(seed)
    writer = codec()
    values = writer.encode(Plain.to_frame([example(n) for n in range(MANY)])).to_list()
    for _ in range(chance.randint(1, 3)):
        row = chance.randrange(MANY)
        damaged = bytearray(values[row] or b"")
        place = chance.randrange(len(damaged))
        if chance.random() < 0.3:
            del damaged[place:]
        else:
            damaged[place] = chance.randrange(256)
        values[row] = bytes(damaged)
    frame, errors = in_small_parts(values)
    decoded = writer.decode(BytesColumn(values))
    assert [(bad.row, bad.value) for bad in decoded.errors] == errors, f"seed {seed}"
    assert decoded.frame.equals(frame), f"seed {seed}"


@pytest.mark.parametrize("length", [0, 4, 12, 13, 63, 64, 200, 20_000])
def test_texts_of_any_length_are_read(length: int) -> None:
    writer = codec()
    texts = ["x" * length, "é" * length, ""]
    frame = Plain.to_frame([example()] * (3 * SMALL * 2)).with_columns(
        pl.Series("text", texts * (SMALL * 2))
    )
    assert writer.decode(writer.encode(frame)).frame.drop("_row").equals(frame)
