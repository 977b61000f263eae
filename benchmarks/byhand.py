"""The same pipelines as loops written by hand over SQLite, pyruhvro and Polars.

They are what is left when everything that a hub and an engine add is taken away: no keys, no
partitions, no checksums, no schemas that change, no bad values, no restart. One commit for each
batch, with its outputs and its position, as there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyruhvro

from benchmarks import workload
from benchmarks.measure import Span

_BATCH = 65_536
_OLDEST = pl.CompatLevel.oldest()
_HEAD = [{"name": "_magic", "type": "boolean"}, {"name": "_id", "type": "float"}]
_AVRO = {
    "bus_id": "string",
    "driver_id": "long",
    "latitude": "double",
    "longitude": "double",
    "speed_kmh": "double",
    "at": "long",
    "name": "string",
    "depot": "string",
    "minute": "long",
    "readings": "long",
    "sum_kmh": "double",
}

Step = Callable[[pl.DataFrame], pl.DataFrame]


def filter_and_project() -> Step:
    wanted = ["bus_id", "speed_kmh", "at"]
    return lambda frame: frame.filter(pl.col("speed_kmh") > 50).select(wanted)


def join() -> Step:
    drivers = workload.drivers_frame()
    return lambda frame: frame.join(drivers, on="driver_id", how="inner")


def window() -> Step:
    state: dict[tuple[str, int], tuple[int, float]] = {}

    def step(frame: pl.DataFrame) -> pl.DataFrame:
        minute = (pl.col("at") // 60_000_000).alias("minute")
        groups = frame.group_by("bus_id", minute).agg(
            pl.len().cast(pl.Int64).alias("readings"), pl.col("speed_kmh").sum().alias("sum_kmh")
        )
        buses, minutes, counts, sums = (column.to_list() for column in groups.get_columns())
        for row, place in enumerate(zip(buses, minutes, strict=True)):
            before = state.get(place, (0, 0.0))
            state[place] = counts[row], sums[row] = before[0] + counts[row], before[1] + sums[row]
        changed = [pl.Series("readings", counts), pl.Series("sum_kmh", sums)]
        return groups.select("bus_id", "minute").with_columns(changed)

    return step


def run(path: Path, count: int, step: Step) -> Span:
    """Fill a database with the workload, take it through `step`; the time of the latter."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA page_size = 16384")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    for topic in ("input", "output"):
        db.execute(f"CREATE TABLE {topic} (id INTEGER PRIMARY KEY, count, places, data)")
    db.execute("CREATE TABLE position (at INTEGER)")
    db.execute("INSERT INTO position VALUES (0)")
    for start in range(0, count, _BATCH):
        frame = workload.positions_frame(start, min(start + _BATCH, count))
        _append(db, "input", frame.with_columns(pl.col("at").to_physical()))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("PRAGMA synchronous = FULL")
    columns = list(workload.positions_frame(0, 1).columns)
    schema = _schema(columns)
    with Span() as span:
        at = 0
        while True:
            row = db.execute(
                "SELECT id, count, places, data FROM input WHERE id > ? LIMIT 1", (at,)
            ).fetchone()
            if row is None:
                break
            at, size, places, data = row
            buffers = [None, pa.py_buffer(places), pa.py_buffer(data)]
            values = pl.Series(pa.Array.from_buffers(pa.binary(), size, buffers)).to_list()
            decoded = pyruhvro.deserialize_array(values, schema)
            made = step(pl.DataFrame(pl.from_arrow(decoded)).drop("_magic", "_id"))
            db.execute("BEGIN")
            _append(db, "output", made)
            db.execute("UPDATE position SET at = ?", (at,))
            db.execute("COMMIT")
    db.close()
    return span


def _append(db: sqlite3.Connection, topic: str, frame: pl.DataFrame) -> None:
    head = [
        pl.repeat(value, frame.height, dtype=kind, eager=True).alias(name)
        for name, value, kind in (("_magic", False, pl.Boolean), ("_id", 0.0, pl.Float32))
    ]
    batch = pl.DataFrame([*head, *frame.get_columns()]).to_arrow(compat_level=_OLDEST)
    columns = [
        column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
        for column in batch.combine_chunks().to_batches()[0].columns
    ]
    record_batch = pa.RecordBatch.from_arrays(columns, names=batch.column_names)
    (values,) = pyruhvro.serialize_record_batch(record_batch, _schema(frame.columns), 1)
    _, places, data = values.buffers()
    db.execute(
        f"INSERT INTO {topic} (count, places, data) VALUES (?, ?, ?)",
        (len(values), memoryview(places), memoryview(data)),
    )


def _schema(columns: list[str]) -> str:
    fields = [{"name": name, "type": _AVRO[name]} for name in columns]
    return json.dumps({"type": "record", "name": "Row", "fields": [*_HEAD, *fields]})
