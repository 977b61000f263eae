"""Generated Avro schemas, and values that fit them, in the forms that fastavro takes."""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
import uuid
from typing import Any

from hypothesis import strategies as st

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LONG = st.integers(-(2**63), 2**63 - 1)
_MICROS = st.integers(-(10**15), 10**15)
_DOUBLE = st.floats(allow_nan=False)

# Each kind is an Avro type and the strategy of its values.
Kind = tuple[Any, st.SearchStrategy[Any]]
PLAIN: list[Kind] = [
    ("string", st.text(max_size=12)),
    ("long", _LONG),
    ("int", st.integers(-(2**31), 2**31 - 1)),
    ("double", _DOUBLE),
    ("float", st.floats(width=32, allow_nan=False)),
    ("boolean", st.booleans()),
    ("bytes", st.binary(max_size=12)),
]


def _instant(micros: int) -> dt.datetime:
    return _EPOCH + dt.timedelta(microseconds=micros)


def _time(micros: int) -> dt.time:
    return (_EPOCH + dt.timedelta(microseconds=micros)).time()


class Names:
    def __init__(self) -> None:
        self._numbers = itertools.count()

    def new(self) -> str:
        return f"T{next(self._numbers)}"


@st.composite
def scalars(draw: st.DrawFn, names: Names) -> Kind:
    which = draw(st.integers(0, 13))
    if which == 9:
        symbols = ["A", "B", "C"][: draw(st.integers(1, 3))]
        kind = {"type": "enum", "name": names.new(), "symbols": symbols}
        return kind, st.sampled_from(symbols)
    if which == 10:
        precision = draw(st.integers(1, 38))
        scale = draw(st.integers(0, precision))
        size = 4 if precision <= 9 else 8 if precision <= 18 else 16
        kind = {"type": "fixed", "name": names.new(), "size": size, "logicalType": "decimal"}
        kind |= {"precision": precision, "scale": scale}
        return kind, _decimals(precision, scale)
    if which == 11:
        kind = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 3}
        return kind, _decimals(12, 3)
    if which == 12:
        size = draw(st.sampled_from([3, 4, 8, 12, 16, 20]))
        kind = {"type": "fixed", "name": names.new(), "size": size}
        return kind, st.binary(min_size=size, max_size=size)
    if which == 13:
        return {"type": "string", "logicalType": "uuid"}, st.builds(
            lambda n: uuid.UUID(int=n), st.integers(0, 2**128 - 1)
        )
    plain: list[Kind] = [
        *PLAIN,
        ({"type": "long", "logicalType": "timestamp-micros"}, _MICROS.map(_instant)),
        (
            {"type": "long", "logicalType": "time-micros"},
            st.integers(0, 86_400_000_000 - 1).map(_time),
        ),
    ]
    plain.append(
        ({"type": "int", "logicalType": "date"}, st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)))
    )
    return plain[min(9, which)]


def _decimals(precision: int, scale: int) -> st.SearchStrategy[decimal.Decimal]:
    limit = 10**precision - 1
    return st.integers(-limit, limit).map(
        lambda n: decimal.Decimal((int(n < 0), tuple(map(int, str(abs(n)))), -scale))
    )


@st.composite
def kinds(draw: st.DrawFn, names: Names, depth: int = 2) -> Kind:
    which = draw(st.integers(0, 9 if depth else 4))
    if which <= 4:
        return draw(scalars(names))
    if which == 5:
        kind, values = draw(kinds(names, depth - 1))
        return {"type": "array", "items": kind}, st.lists(values, max_size=3)
    if which == 6:
        kind, values = draw(kinds(names, depth - 1))
        return {"type": "map", "values": kind}, st.dictionaries(
            st.text(max_size=4), values, max_size=3
        )
    if which == 7:
        return draw(records(names, depth - 1))
    if which == 8:
        kind, values = draw(kinds(names, depth - 1))
        if isinstance(kind, list):
            return kind, values
        union = draw(st.sampled_from([["null", kind], [kind, "null"]]))
        return union, st.none() | values
    branches = [draw(records(names, depth - 1)) for _ in range(2)]
    union = [kind for kind, _ in branches]
    # fastavro is told the branch of a union by a pair of name and value.
    values = st.one_of([each.map(_named(kind["name"])) for kind, each in branches])
    if draw(st.booleans()):
        return ["null", *union], st.none() | values
    return union, values


def _named(name: str) -> Any:
    return lambda value: (name, value)


@st.composite
def records(draw: st.DrawFn, names: Names, depth: int = 2, *, smallest: int = 1) -> Kind:
    parts = draw(st.lists(kinds(names, depth), min_size=smallest, max_size=4))
    fields = [{"name": f"f{place}", "type": kind} for place, (kind, _) in enumerate(parts)]
    values = st.fixed_dictionaries({f"f{place}": each for place, (_, each) in enumerate(parts)})
    return {"type": "record", "name": names.new(), "fields": fields}, values


@st.composite
def schemas_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    schema, values = draw(records(Names()))
    return schema, draw(st.lists(values, min_size=1, max_size=40))


@st.composite
def plain_schemas_and_values(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Numbers around the places where they take another byte, and text of such lengths, too."""
    near = st.tuples(st.sampled_from([0, 6, 7, 10, 13, 14, 21, 30]), st.integers(-2, 2))
    edges = near.map(lambda one: (1 << one[0]) + one[1])
    sizes = st.sampled_from([0, 1, 63, 64, 1_023, 1_024, 8_192])
    kinds: list[Kind] = [
        *PLAIN,
        ("long", edges | edges.map(lambda one: -one)),
        ("string", sizes.map(lambda size: "ä" * size)),
    ]
    parts = []
    for kind, values in draw(st.lists(st.sampled_from(kinds), max_size=5)):
        union = draw(st.sampled_from([kind, ["null", kind], [kind, "null"]]))
        parts.append((union, values if union == kind else st.none() | values))
    fields = [{"name": f"f{place}", "type": kind} for place, (kind, _) in enumerate(parts)]
    values = st.fixed_dictionaries({f"f{place}": each for place, (_, each) in enumerate(parts)})
    schema = {"type": "record", "name": "T", "fields": fields}
    return schema, draw(st.lists(values, min_size=1, max_size=10))
