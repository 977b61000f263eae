"""Rows from files: JSON lines, CSV, Parquet; with a schema, or with one that is inferred.

Whatever doesn't fit is an error that names the line. A reader of rows keeps, next to the frame,
where each row came from.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from vagus.cli.jsonlines import json_rows
from vagus.cli.rows import Rows
from vagus.errors import VagusError, nearest
from vagus.events import Field, RecordSchema

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
        return json_rows(content, source, schemas, first_line)
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
