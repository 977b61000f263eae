"""Rows from files: JSON lines, CSV, Parquet; with a schema, or with one that is inferred.

Whatever doesn't fit is an error that names the line. A reader of rows keeps, next to the frame,
where each row came from.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from pydantic_core import from_json

from vagus.errors import EncodeError, VagusError, nearest
from vagus.events import BytesColumn, Field, JsonCodec, RecordSchema

if TYPE_CHECKING:
    from vagus.events.decoded import BadValue

Format = Literal["jsonl", "csv", "parquet"]

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_MOMENT = r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?$"
_UTC = pl.Datetime("us", "UTC")
_TRUE, _FALSE = ("true", "t", "yes", "1"), ("false", "f", "no", "0")


@dataclass(frozen=True)
class Rows:
    """Rows as a frame, and what each is called in the input: `line 17` or `row 17`.

    `_tombstone` marks deletions; other columns that begin with an underscore are not the event's.
    """

    frame: pl.DataFrame
    source: str
    unit: str
    numbers: Sequence[int]

    def at(self, row: int) -> str:
        """Where a row came from."""
        return f"{self.source}, {self.unit} {self.numbers[row]}"

    def __len__(self) -> int:
        return self.frame.height

    def wrong(self, error: EncodeError) -> VagusError:
        """The error of rows as one of lines."""
        if not error.rows:
            return VagusError(error.message, where=self.source, hint=error.hint)
        message = re.sub(r",? ?(of|in)? row \d+.*$", "", error.message)
        more = len(error.rows) - 1
        message += f" ({more} more like it)" if more else ""
        return VagusError(message, where=self.at(min(error.rows)), hint=error.hint)


def format_of(path: str, asked: str | None) -> Format:
    """The format of a file. Raises VagusError if it can't be told."""
    formats: tuple[Format, ...] = ("jsonl", "csv", "parquet")
    for known in formats:
        if asked == known:
            return known
    if asked is not None:
        hint = nearest(asked, formats) or f"there is {', '.join(formats)}"
        raise VagusError(f"no format {asked!r}", where="--format", hint=hint)
    if path == "-":
        return "jsonl"
    found = _SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        raise VagusError(
            f"expected a file ending in .jsonl, .csv or .parquet, got {path}", hint="say --format"
        )
    return found


def read_rows(
    data: bytes | Path, form: Format, schemas: Sequence[RecordSchema], *, first_line: int = 1
) -> Rows:
    """The rows of an input, fitted to the schemas, or as they are where there are none."""
    source = data.name if isinstance(data, Path) else "standard input"
    if form == "jsonl":
        content = data.read_bytes() if isinstance(data, Path) else data
        return _json_rows(content, source, schemas, first_line)
    readable = data if isinstance(data, Path) else io.BytesIO(data)
    try:
        if form == "parquet":
            frame = pl.read_parquet(readable)
        elif schemas:
            frame = pl.read_csv(readable, infer_schema=False, empty_string_is_null=False)
        else:
            frame = pl.read_csv(readable, infer_schema_length=None, try_parse_dates=True)
    except (pl.exceptions.PolarsError, OSError) as error:
        what = str(error).strip().split("\n", maxsplit=1)[0]
        raise VagusError(f"expected {form.upper()}, but: {what}", where=source) from error
    rows = Rows(frame, source, "row", range(1, frame.height + 1))
    if not schemas:
        return rows
    _check_names(frame.columns, schemas, source)
    if form == "csv":
        return Rows(_typed_csv(rows, schemas), source, "row", rows.numbers)
    return rows


def infer_schema(topic: str, rows: Rows) -> tuple[RecordSchema, Rows]:
    """A schema that fits the rows, and the rows fitted to it. Any field may be null."""
    frame = rows.frame.select(
        _inferred(rows.frame[name]) for name in rows.frame.columns if not name.startswith("_")
    )
    if not frame.width or not frame.height:
        raise VagusError("expected rows to infer a schema from, got none", where=rows.source)
    for name in frame.columns:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
            raise VagusError(
                f"expected column names of letters, digits and '_', got {name!r}",
                where=rows.source,
                hint="rename the column",
            )
    name = "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z0-9]+", topic))
    name = name if name[:1].isalpha() else f"Topic{name}"
    schema = RecordSchema.build(name, [Field.of(n, dtype) for n, dtype in frame.schema.items()])
    own = [column for column in rows.frame.columns if column.startswith("_")]
    whole = pl.concat([frame, rows.frame.select(own)], how="horizontal")
    return schema, Rows(whole, rows.source, rows.unit, rows.numbers)


def times_ms(rows: Rows, column: str) -> pl.Series:
    """A column as times. Whole numbers are milliseconds since 1970, text is ISO 8601."""
    series = _column(rows, column, "--time")
    if series.dtype == pl.String:
        series = _moments(series)
    elif isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is None:
        series = series.dt.replace_time_zone("UTC")
    elif not (series.dtype.is_integer() or series.dtype.is_temporal()):
        raise VagusError(f"expected times in {column!r}, got {series.dtype}", where=rows.source)
    stamps = series.cast(pl.Datetime("ms", "UTC"))
    bad = stamps.is_null() | (stamps.to_physical() < 0).fill_null(True)
    if bad.any():
        row = int(bad.arg_true()[0])
        got = rows.frame[column][row]
        raise VagusError(
            f"expected a time since 1970 in {column!r}, got {got!r}", where=rows.at(row)
        )
    return stamps


def keys(rows: Rows, column: str) -> pl.Series:
    """The column that is the key."""
    return _column(rows, column, "--key")


def _column(rows: Rows, name: str, option: str) -> pl.Series:
    if name not in rows.frame.columns:
        known = [each for each in rows.frame.columns if not each.startswith("_")]
        raise VagusError(
            f"no column {name!r} for {option}",
            where=rows.source,
            hint=nearest(name, known) or f"there is {', '.join(known)}",
        )
    return rows.frame[name]


# JSON lines


def _json_rows(
    content: bytes, source: str, schemas: Sequence[RecordSchema], first_line: int
) -> Rows:
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
    from vagus.events import BadValue

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


# Types


def _inferred(series: pl.Series) -> pl.Series:
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    if series.dtype == pl.String and series.null_count() < len(series):
        if series.str.contains(_MOMENT).all():
            return _moments(series)
    elif isinstance(series.dtype, pl.Datetime):
        if series.dtype.time_zone is None:
            series = series.dt.replace_time_zone("UTC")
        return series.cast(_UTC)
    return series


def _moments(series: pl.Series) -> pl.Series:
    """Text as times, those without a zone in UTC; null where it is none."""
    zoned = series.str.contains(r"(Z|[+-]\d\d:?\d\d)$")
    text = pl.select(pl.when(zoned).then(series).otherwise(series + "Z")).to_series()
    spelled = text.str.replace(" ", "T").str.replace(r"^(\d{4}-\d\d-\d\d)Z$", "${1}T00:00:00Z")
    spelled = spelled.str.replace(r"T(\d\d:\d\d)(Z|[+-])", "T$1:00$2")
    return spelled.str.to_datetime("%+", time_unit="us", time_zone="UTC", strict=False).alias(
        series.name
    )


def _typed_csv(rows: Rows, schemas: Sequence[RecordSchema]) -> pl.DataFrame:
    """The texts of a CSV file as what the fields are; an empty text is null where it may be."""
    dtypes = {name: field for schema in schemas for name, field in schema.fields.items()}
    columns = []
    for series in rows.frame:
        field = dtypes.get(series.name)
        if field is None:
            columns.append(series)
            continue
        keep = field.dtype == pl.String and not field.nullable
        given = series if keep else _without(series, "")
        typed = _parse(given, field.dtype, rows)
        lost = typed.is_null() & given.is_not_null()
        if lost.any():
            row = int(lost.arg_true()[0])
            raise VagusError(
                f"expected {field.dtype} in {series.name!r}, got {given[row]!r}", where=rows.at(row)
            )
        columns.append(typed.alias(series.name))
    return pl.DataFrame(columns)


def _without(series: pl.Series, text: str) -> pl.Series:
    return series.set(series == text, None)


def _parse(series: pl.Series, dtype: pl.DataType, rows: Rows) -> pl.Series:
    if dtype == pl.String:
        return series
    if dtype == pl.Boolean:
        low = series.str.to_lowercase()
        return low.replace_strict(
            [*_TRUE, *_FALSE],
            [True] * len(_TRUE) + [False] * len(_FALSE),
            default=None,
            return_dtype=pl.Boolean,
        )
    if isinstance(dtype, pl.Datetime):
        moments = _moments(series)
        if dtype.time_zone is None:
            moments = moments.dt.replace_time_zone(None)
        return moments.cast(dtype)
    parsers: dict[Any, Callable[[pl.Series], pl.Series]] = {
        pl.Date: lambda text: text.str.to_date(strict=False),
        pl.Time: lambda text: text.str.to_time(strict=False),
        pl.Binary: lambda text: text.str.decode("base64", strict=False),
    }
    if dtype.base_type() in parsers:
        return parsers[dtype.base_type()](series)
    if dtype.is_numeric():
        return series.str.strip_chars().cast(dtype, strict=False)
    raise VagusError(
        f"CSV can't hold {dtype}, the type of {series.name!r}",
        where=rows.source,
        hint="use JSON lines or Parquet",
    )


def _check_names(given: Sequence[str], schemas: Sequence[RecordSchema], source: str) -> None:
    known = {name for schema in schemas for name in schema.fields}
    for name in given:
        if name not in known and not name.startswith("_"):
            raise VagusError(
                f"no field {name!r} in {' or '.join(schema.name for schema in schemas)}",
                where=source,
                hint=nearest(name, known) or f"there is {', '.join(sorted(known))}",
            )
