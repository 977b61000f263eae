"""Reading a topic without its event classes: by the schemas in the registry.

What has no schema is shown as what it looks like: JSON, text, or else bytes in base64. Keys carry
no type in a hub, and are told apart by their looks too: text; whole numbers of eight bytes; and
either of them with the start of a window behind.
"""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl
from pydantic_core import to_json

from vagus.errors import SchemaError
from vagus.events import AvroCodec, BytesColumn, RecordSchema
from vagus.events.rows import to_python
from vagus.hub.personkeys import PersonKeys

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import FetchedRecords, Hub

_WINDOWS_MS = (0, 1 << 43)  # until the year 2248
_TIME = pl.Datetime("ms", "UTC")


def topic_schemas(registry: Registry, topic: str) -> list[RecordSchema]:
    """The newest schema of each type of event in a topic; none if it has no schema."""
    subjects = [name for name in registry.subjects() if name.startswith(f"{topic}-")]

    def newest(subject: str) -> RecordSchema:
        return RecordSchema.parse(registry.schema(registry.versions(subject)[-1][1]))

    if f"{topic}-value" in subjects:
        return [newest(f"{topic}-value")]
    found = []
    for name in subjects:
        with suppress(SchemaError):  # of a key, or of another topic: no type of event
            schema = newest(name)
            if name == f"{topic}-{schema.name}":
                found.append(schema)
    return found


class TopicReader:
    """Turns the records of a topic into frames and lines for people.

    Both begin with `_partition`, `_offset`, `_time` and `_key`; those of a windowed table also
    have `_window`, where it starts. Deletions have `_tombstone`, what can't be read `_error` and
    `_value`, its bytes in base64.
    """

    def __init__(self, hub: Hub, topic: str, registry: Registry) -> None:
        self.topic = topic
        self.schemas = topic_schemas(registry, topic)
        self._codec = AvroCodec(self.schemas, registry, topic) if self.schemas else None
        self._changes = {
            name: change
            for schema in self.schemas
            for name, node in schema.plain.nodes.items()
            if (change := to_python(node)) is not None
        }
        self._marks = {name: mark for schema in self.schemas for name, mark in schema.marks.items()}
        self._persons = PersonKeys.of(hub)
        self._windowed: bool | None = None

    def frame(self, read: FetchedRecords) -> pl.DataFrame:
        """The records as a frame, one row each, in their order."""
        head = self._head(read)
        if self._codec is None:
            values = [_looks_like(value) for value in read.values.to_list()]
            texts = [v if isinstance(v, str) or v is None else json.dumps(v) for v in values]
            gone = pl.Series("_tombstone", [value is None for value in values], pl.Boolean)
            return head.with_columns(gone, _errors({}, len(read)), pl.Series("value", texts))
        decoded = self._codec.decode(read.values)
        rows = pl.DataFrame({"_row": pl.arange(len(read), eager=True).cast(pl.UInt32)})
        known = self._persons.open(decoded.frame, self._marks)
        body = rows.join(known, on="_row", how="left", maintain_order="left")
        gone = rows["_row"].is_in(pl.Series(decoded.tombstones).implode()).alias("_tombstone")
        errors = _errors({bad.row: bad.error for bad in decoded.errors}, len(read))
        return head.with_columns(gone, errors, *body.drop("_row").get_columns())

    def lines(self, read: FetchedRecords) -> list[bytes]:
        """The records as JSON objects."""
        frame = self.frame(read)
        fields = [name for name in frame.columns if not name.startswith("_") or name == "_type"]
        several = self._codec is not None and len(self.schemas) > 1
        of_type = {schema.name: schema.fields for schema in self.schemas}
        values = read.values.to_list()
        lines = []
        for row, value in zip(frame.iter_rows(named=True), values, strict=True):
            line = {name: row[name] for name in ("_partition", "_offset", "_time", "_key")}
            if "_window" in row:
                line["_window"] = row["_window"]
            if row["_tombstone"]:
                line["_tombstone"] = True
            elif row["_error"] is not None:
                line |= {"_error": row["_error"], "_value": b64encode(value or b"").decode()}
            elif self._codec is None:
                shown = _looks_like(value)
                line |= shown if isinstance(shown, dict) else {"value": shown}
            else:
                if several:
                    line["_type"] = row["_type"]
                names = of_type[row["_type"]] if several else fields
                line |= {name: self._plain(name, row[name]) for name in names}
            lines.append(to_line(line))
        return lines

    def event(self, value: bytes | None) -> Any:
        """One value for people."""
        if value is None or self._codec is None:
            return _looks_like(value)
        decoded = self._codec.decode(BytesColumn([value]))
        if decoded.errors:
            return _looks_like(value)
        frame = self._persons.open(decoded.frame, self._marks)
        row = frame.drop("_row").to_dicts()[0]
        return json.loads(to_line({name: self._plain(name, each) for name, each in row.items()}))

    def _plain(self, name: str, value: Any) -> Any:
        change = self._changes.get(name)
        return value if change is None or value is None else change(value)

    def _head(self, read: FetchedRecords) -> pl.DataFrame:
        keys, windows = self._keys(read.keys)
        head = [
            pl.Series("_partition", [read.partition.partition], pl.Int32).new_from_index(
                0, len(read)
            ),
            pl.Series("_offset", read.offsets),
            pl.Series("_time", read.timestamps).cast(_TIME),
            keys.alias("_key"),
        ]
        if windows is not None:
            head.append(windows.alias("_window"))
        return pl.DataFrame(head)

    def _keys(self, keys: BytesColumn) -> tuple[pl.Series, pl.Series | None]:
        data = keys.to_list()
        if self._windowed is None:
            some = [key for key in data[:1000] if key is not None]
            self._windowed = bool(some) and all(map(_is_windowed, some))
        if not self._windowed:
            return _key_series([plain_key(key) for key in data]), None
        plain = [None if key is None else plain_key(key[:-8]) for key in data]
        starts = [None if key is None else int.from_bytes(key[-8:], "big") for key in data]
        return _key_series(plain), pl.Series(starts, dtype=pl.Int64).cast(_TIME)


def to_line(value: Any) -> bytes:
    """A value as JSON on one line: times in ISO 8601, bytes in base64, decimals as text."""
    return to_json(value, bytes_mode="base64", timedelta_mode="iso8601", inf_nan_mode="strings")


def plain_key(key: bytes | None) -> str | int | None:
    """A key as text or a number."""
    if key is None:
        return None
    text = _text(key)
    if text is not None:
        return text
    return int.from_bytes(key, "big", signed=True) if len(key) == 8 else b64encode(key).decode()


def plain_bytes(data: bytes | None) -> str | int | None:
    """The key of one record, windowed or not."""
    if data is None or not _is_windowed(data):
        return plain_key(data)
    return f"{plain_key(data[:-8])}@{int.from_bytes(data[-8:], 'big')}"


def _key_series(keys: list[str | int | None]) -> pl.Series:
    """Numbers as long as all are; else text."""
    if any(isinstance(key, str) for key in keys):
        return pl.Series([None if key is None else str(key) for key in keys], dtype=pl.String)
    numbers = any(isinstance(key, int) for key in keys)
    return pl.Series(keys, dtype=pl.Int64 if numbers else pl.String)


def _is_windowed(key: bytes) -> bool:
    if len(key) <= 8 or _text(key) is not None:
        return False
    return _WINDOWS_MS[0] <= int.from_bytes(key[-8:], "big") < _WINDOWS_MS[1]


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() else None


def _looks_like(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        text = _text(value)
        return b64encode(value).decode() if text is None else text


def _errors(errors: dict[int, str], count: int) -> pl.Series:
    return pl.Series("_error", [errors.get(row) for row in range(count)], pl.String)
