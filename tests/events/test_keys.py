"""Keys as bytes, and the partition that a key belongs to."""

from __future__ import annotations

import uuid

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus.errors import DeclarationError, EncodeError
from vagus.events import BytesColumn, KeyCodec, partitions_for

# Hashes that Kafka's own tests state, of `org.apache.kafka.common.utils.Utils.murmur2`.
_KAFKA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def _murmur2(data: bytes) -> int:
    """The hash, written as plainly as can be."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if data[whole:]:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def test_the_hash_is_the_one_that_kafka_states() -> None:
    found = partitions_for(BytesColumn(list(_KAFKA)), 1 << 31)
    assert found.tolist() == [value & 0x7FFFFFFF for value in _KAFKA.values()]


@given(st.lists(st.none() | st.binary(max_size=40)), st.integers(1, 1000), st.integers(0, 3))
def test_the_partition_is_that_of_the_plain_model(
    keys: list[bytes | None], count: int, skipped: int
) -> None:
    column = BytesColumn(pa.array(keys, pa.binary())[skipped:])  # a slice starts further on
    expected = [
        -1 if key is None else (_murmur2(key) & 0x7FFFFFFF) % count for key in keys[skipped:]
    ]
    assert partitions_for(column, count).tolist() == expected


@pytest.mark.parametrize("distinct", [3, 2_000, 3_000, 20_000])
def test_keys_that_repeat_go_where_each_of_them_goes(distinct: int) -> None:
    keys: list[bytes | None] = [str(n * n % distinct).encode() for n in range(20_000)]
    keys[5::7] = [None] * len(keys[5::7])
    alone = {key: int(partitions_for(BytesColumn([key]), 12)[0]) for key in set(keys)}
    found = partitions_for(BytesColumn(keys), 12).tolist()
    assert found == [alone[key] for key in keys]


@given(st.lists(st.none() | st.text(max_size=8)))
def test_text_keys_are_utf8(keys: list[str | None]) -> None:
    codec = KeyCodec("str")
    column = codec.encode(pl.Series(keys, dtype=pl.String))
    assert column.to_list() == [None if key is None else key.encode() for key in keys]
    assert codec.decode(column)[0].to_list() == keys


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)))
def test_int_keys_are_eight_bytes_big_endian(keys: list[int | None]) -> None:
    codec = KeyCodec("int")
    column = codec.encode(pl.Series(keys, dtype=pl.Int64))
    assert column.to_list() == [
        None if key is None else key.to_bytes(8, "big", signed=True) for key in keys
    ]
    assert codec.decode(column)[0].to_list() == keys


@given(st.lists(st.none() | st.binary(max_size=8)))
def test_bytes_keys_are_left_alone(keys: list[bytes | None]) -> None:
    codec = KeyCodec("bytes")
    column = codec.encode(pl.Series(keys, dtype=pl.Binary))
    assert column.to_list() == keys
    assert codec.decode(column)[0].to_list() == keys


def test_uuid_keys_are_text_in_the_canonical_form() -> None:
    codec = KeyCodec("uuid")
    key = str(uuid.UUID(int=0xABCDEF))
    column = codec.encode(pl.Series([key.upper(), None]))
    assert column.to_list() == [key.encode(), None]
    assert codec.decode(column)[0].to_list() == [key, None]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("str", b"a", b"\xff"),
        ("int", b"\0" * 8, b"\0" * 7),
        ("uuid", str(uuid.UUID(int=1)).encode(), b"no uuid"),
    ],
)
def test_a_key_that_cannot_be_read_is_null_and_listed(kind: str, good: bytes, bad: bytes) -> None:
    series, errors = KeyCodec(kind).decode(BytesColumn([good, bad, None, good]))  # type: ignore[arg-type]
    assert series.is_null().to_list() == [False, True, True, False]
    assert [(error.row, error.value) for error in errors] == [(1, bad)]


def test_keys_of_another_type_are_refused_with_their_rows() -> None:
    with pytest.raises(EncodeError, match="keys of type int") as raised:
        KeyCodec("int").encode(pl.Series(["a", "b"]))
    assert raised.value.rows == [0, 1]
    with pytest.raises(EncodeError) as raised:
        KeyCodec("uuid").encode(pl.Series([str(uuid.UUID(int=1)), "x"]))
    assert raised.value.rows == [1]


def test_an_unknown_type_of_key_is_refused() -> None:
    with pytest.raises(DeclarationError, match="str, int, uuid, bytes"):
        KeyCodec("text")  # type: ignore[arg-type]
