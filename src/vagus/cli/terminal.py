"""What the commands print: listings, progress, questions.

Results go to standard output, everything else to standard error, so that results can be piped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console


Row = Mapping[str, Any]
Shown = Callable[[Any], str]


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def console(*, error: bool = False) -> Console:
    """Standard output, or standard error, of this moment."""
    from rich.console import Console

    return Console(stderr=error, highlight=False, soft_wrap=not on_terminal())


def note(text: str) -> None:
    """Say something that is not a result."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def listing(
    rows: Sequence[Row],
    columns: Sequence[str],
    *,
    as_json: bool,
    shown: Mapping[str, Shown] | None = None,
    empty: str = "",
) -> None:
    """Print rows: as JSON with all that they hold, or the named columns as a table.

    `shown` says how a column is shown to people; `empty` is said where there is no row.
    """
    if as_json:
        print_json([dict(row) for row in rows])
        return
    if not rows:
        if empty:
            note(empty)
        return
    table = [[_text(row.get(name), (shown or {}).get(name)) for name in columns] for row in rows]
    numeric = [all(isinstance(row.get(name), (int, float)) for row in rows) for name in columns]
    print_table(columns, table, numeric)


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]
) -> None:
    """Print a table of texts: a ruled one on a terminal, aligned plain lines elsewhere."""
    titles = [name.replace("_", " ").strip() for name in columns]
    if on_terminal():
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
        for title, right in zip(titles, numeric, strict=True):
            table.add_column(title, justify="right" if right else "left", overflow="ellipsis")
        for row in rows:
            table.add_row(*map(Text, row))
        console().print(table)
        return
    lines = [titles, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _text(value: Any, shown: Shown | None) -> str:
    if shown is not None and value is not None:
        return shown(value)
    if value is None:
        return "-"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def seconds_text(seconds: float) -> str:
    """Seconds as a duration."""
    from vagus.streams.duration import duration_text

    return duration_text(round(seconds * 1000))


def time_text(stamp_ms: int) -> str:
    """Milliseconds since 1970 as ISO 8601."""
    moment = datetime.fromtimestamp(stamp_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ask(question: str, *, yes: bool) -> None:
    """Have a person confirm. Raises a usage error where there is none to ask, Exit on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{question} Nobody can be asked here: say --yes")
    if not typer.confirm(question):
        note("nothing was changed")
        raise typer.Exit(1)


Advance = Callable[[int, int], None]


@contextmanager
def progress(what: str) -> Iterator[Advance]:
    """A progress bar on a terminal's standard error, told of what is done and in all."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    parts = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), Remaining())
    with Progress(*parts, console=console(error=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
