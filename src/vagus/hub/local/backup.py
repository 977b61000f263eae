"""A copy of a live hub: one moment of it, while others go on writing."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.local.check import check
from vagus.hub.local.storage import Storage, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP_PAGES = 512


def backup(storage: Storage, path: str, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy the hub to a new file and check the copy. `progress` gets pages done and in all."""
    target = Path(path)
    if target.exists():
        raise HubError(
            "expected a path where nothing is yet, got an existing file",
            where=path,
            hint="give another path, or remove the file",
        )
    unfinished = target.with_name(target.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    try:
        _copy(storage, str(unfinished), progress)
        _finish(str(unfinished))
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _copy(storage: Storage, path: str, progress: Callable[[int, int], None] | None) -> None:
    def report(_: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress(total - remaining, total)

    try:
        copy = sqlite3.connect(path, isolation_level=None)
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    try:
        with storage.reading() as source:
            # One look holds the snapshot: SQLite would begin again after every foreign write.
            source.execute("SELECT count(*) FROM topic").fetchone()
            try:
                source.backup(copy, pages=_STEP_PAGES, progress=report, sleep=0)
            except sqlite3.Error as error:
                raise unavailable(error, path) from error
    finally:
        copy.close()
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def _finish(path: str) -> None:
    copy = Storage(path)
    try:
        report = check(copy)
        if not report.ok:
            problems = [*report.structure, *(damage.reason for damage in report.damage)]
            raise HubError(
                f"expected a sound copy, got a damaged one ({problems[0]})",
                where=path,
                hint="`vagus hub check` the hub itself, and the disk",
            )
        copy.renew_id()
    finally:
        copy.close()
