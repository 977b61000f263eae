"""What a view makes of events, without a hub: for tests."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError
from vagus.events.encrypting import MemoryKeys
from vagus.runtime.frame import KEY, TIME, TIME_TYPE, TOMBSTONE
from vagus.services.views.declare import Deleted
from vagus.services.views.file import MEMORY, ViewFile
from vagus.services.views.framerows import FrameRows
from vagus.services.views.rows import Rows
from vagus.services.views.table import Table

if TYPE_CHECKING:
    from vagus.services.views.declare import ViewType

__all__ = ["rows_after"]


def rows_after(view: ViewType, events: Iterable[Any]) -> list[Any]:
    """The rows of a view after these events, ordered by key.

    Raises what the view's function raises; DeclarationError for an event of no topic that the view
    reads.

    >>> import vagus as vg
    >>> class Paid(vg.Event):
    ...     account: str
    >>> class Payer(vg.Row):
    ...     account: str
    >>> bank = vg.Service("bank")
    >>> @bank.view("payers", Payer, key="account", of=bank.topic("paid", Paid, key="account"))
    ... def payers(event, rows):
    ...     rows.put(Payer(account=event.account))
    >>> rows_after(payers, [Paid(account="a"), Paid(account="a")])
    [Payer(account='a')]
    """
    given = list(events)
    known = {schema.event_type for source in view.sources for schema in source.topic.schemas} - {
        None
    }
    for event in given:
        if known and type(event) not in known and not isinstance(event, Deleted):
            names = " or ".join(sorted(one.__name__ for one in known if one is not None))
            raise DeclarationError(
                f"expected {names}, got {type(event).__name__}", where=f"view {view.name!r}"
            )
    file, keys = ViewFile(MEMORY, view.app, hub=""), MemoryKeys()
    try:
        table = Table(view, 0)
        with file.writing() as db:
            table.create(db)
        rows: Any = (
            FrameRows(view, table, file.reading, keys)
            if view.columns
            else Rows(view, table, file.reading, keys, empty=True)
        )
        for event in given:
            view.function(_frame(view, event) if view.columns else event, rows)
            with file.writing() as db:
                rows.write(db, 1)
            rows.written()
        with file.reading() as db:
            stored = db.execute(f"SELECT {table.selected} FROM {table.rows} ORDER BY 1").fetchall()
        made = view.form.make(stored, keys)
    finally:
        file.close()
    return sorted(made, key=lambda row: getattr(row, view.key))


def _frame(view: ViewType, event: Any) -> pl.DataFrame:
    """An event as the frame that a view on columns is called with."""
    topic = view.sources[0].topic
    if isinstance(event, Deleted):
        blank = topic.empty.drop("_seq").clear(1)
        return blank.with_columns(
            pl.lit(event.key, dtype=topic.key_type).alias(KEY),
            pl.lit(0).cast(TIME_TYPE).alias(TIME),
            pl.lit(True).alias(TOMBSTONE),
        )
    one: pl.DataFrame = type(event).to_frame([event])
    key = pl.col(topic.key) if topic.key else pl.lit(None)
    time = pl.col(topic.time) if topic.time else pl.lit(0)
    types = [pl.lit(type(event).__name__).alias("_type")] if len(topic.schemas) > 1 else []
    missing = [pl.lit(None, t).alias(n) for n, t in topic.columns.items() if n not in one.columns]
    return one.with_columns(
        *missing,
        *types,
        key.cast(topic.key_type).alias(KEY),
        time.cast(TIME_TYPE).alias(TIME),
        pl.lit(False).alias(TOMBSTONE),
    ).select(topic.empty.drop("_seq").columns)
