"""Rows from JSON lines, one object a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from pydantic_core import from_json

from vagus.cli.rows import Rows
from vagus.errors import VagusError, nearest
from vagus.events import BadValue, BytesColumn, JsonCodec, RecordSchema

__all__ = ["json_rows"]


def json_rows(
    content: bytes, source: str, schemas: Sequence[RecordSchema], first_line: int
) -> Rows:
    """The rows of JSON lines, fitted to the schemas, or as they are where there are none."""
    numbered = [
        (number, line)
        for number, line in enumerate(content.splitlines(), first_line)
        if line.strip()
    ]
    numbers = [number for number, _ in numbered]
    lines = [line for _, line in numbered]
    objects = [_object(line, f"{source}, line {number}") for number, line in numbered]
    own = _own_columns(objects)
    if not schemas:
        frame = _frame_of(objects, source, numbers)
        return Rows(pl.concat([frame, own], how="horizontal"), source, "line", numbers)
    gone = own["_tombstone"].to_list() if "_tombstone" in own else [False] * len(lines)
    known = {schema.name: set(schema.fields) for schema in schemas}
    for row, each in enumerate(objects):
        names = known.get(str(each.get("_type", each.get("type"))), set().union(*known.values()))
        names = names | {"type"} if len(known) > 1 else names
        for name in each:
            if name not in names and not name.startswith("_"):
                raise VagusError(
                    f"no field {name!r} in {' or '.join(known)}",
                    where=f"{source}, line {numbers[row]}",
                    hint=nearest(name, names) or f"there is {', '.join(sorted(names))}",
                )
    parts: list[pl.DataFrame] = []
    bad: list[BadValue] = []
    for schema, places in _by_type(objects, schemas, gone, source, numbers):
        values = BytesColumn([lines[place] for place in places])
        decoded = JsonCodec([schema], schema.name).decode(values)
        bad += [_moved(each, places) for each in decoded.errors]
        at = pl.Series("_row", np.array(places, dtype=np.uint32)[decoded.frame["_row"].to_numpy()])
        part = decoded.frame.with_columns(at)
        if len(schemas) > 1:
            part = part.with_columns(pl.lit(schema.name).alias("_type"))
        parts.append(part)
    if bad:
        first = min(bad, key=lambda each: each.row)
        more = f" ({len(bad) - 1} more lines are wrong)" if len(bad) > 1 else ""
        raise VagusError(first.error + more, where=f"{source}, line {numbers[first.row]}")
    whole = pl.DataFrame({"_row": pl.arange(len(lines), eager=True).cast(pl.UInt32)})
    if parts:
        body = pl.concat(parts, how="diagonal")
        whole = whole.join(body, on="_row", how="left", maintain_order="left")
    own = own.drop([name for name in own.columns if name in whole.columns])
    frame = pl.concat([whole.drop("_row"), own], how="horizontal")
    return Rows(frame, source, "line", numbers)


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = from_json(line)
    except ValueError as error:
        raise VagusError(f"expected a JSON object, but: {error}", where=where) from None
    if not isinstance(found, dict):
        raise VagusError(f"expected a JSON object, got {type(found).__name__}", where=where)
    return found


def _own_columns(objects: list[dict[str, Any]]) -> pl.DataFrame:
    """What `vagus consume` adds: the key, the time, whether it is a deletion."""
    columns = {
        name: [each.get(name) for each in objects]
        for name in ("_key", "_time")
        if any(name in each for each in objects)
    }
    frame = pl.DataFrame(
        {name: pl.Series(name, values, strict=False) for name, values in columns.items()}
    )
    gone = pl.Series("_tombstone", [bool(each.get("_tombstone")) for each in objects], pl.Boolean)
    return frame.with_columns(gone) if gone.any() else frame


def _by_type(
    objects: list[dict[str, Any]],
    schemas: Sequence[RecordSchema],
    gone: Sequence[bool],
    source: str,
    numbers: list[int],
) -> list[tuple[RecordSchema, list[int]]]:
    live = [row for row in range(len(objects)) if not gone[row]]
    if len(schemas) == 1:
        return [(schemas[0], live)]
    names = [schema.name for schema in schemas]
    places: dict[str, list[int]] = {name: [] for name in names}
    for row in live:
        name = objects[row].get("_type", objects[row].get("type"))
        if name not in places:
            raise VagusError(
                f"expected _type to be one of {', '.join(names)}, got {name!r}",
                where=f"{source}, line {numbers[row]}",
                hint=nearest(str(name), names),
            )
        places[name].append(row)
    return [(schema, places[schema.name]) for schema in schemas if places[schema.name]]


def _moved(bad: BadValue, places: list[int]) -> BadValue:
    return BadValue(places[bad.row], bad.error, bad.value)


def _frame_of(objects: list[dict[str, Any]], source: str, numbers: list[int]) -> pl.DataFrame:
    """A frame of objects whose fields have one type each."""
    kinds: dict[str, type] = {}
    for number, each in zip(numbers, objects, strict=True):
        for name, value in each.items():
            if value is None or name.startswith("_"):
                continue
            kind, known = type(value), kinds.setdefault(name, type(value))
            if kind is known:
                continue
            if {kind, known} != {int, float}:
                raise VagusError(
                    f"expected {known.__name__} in {name!r} as in the lines before, got {value!r}",
                    where=f"{source}, line {number}",
                )
            kinds[name] = float
    names = list(dict.fromkeys(n for each in objects for n in each if not n.startswith("_")))
    columns = []
    for name in names:
        values = [each.get(name) for each in objects]
        if kinds.get(name) is float:
            values = [None if value is None else float(value) for value in values]
        try:
            columns.append(pl.Series(name, values, strict=True))
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
            what = str(error).split("\n", maxsplit=1)[0]
            raise VagusError(f"no one type fits {name!r}: {what}", where=source) from error
    return pl.DataFrame(columns) if columns else pl.DataFrame(height=len(objects))
