"""Sleeping until a file is written, or somebody calls."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from vagus.hub.local.watch import Watch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "log"
    made.write_bytes(b"")
    return made


@pytest.fixture
def watch(path: Path) -> Iterator[Watch]:
    made = Watch(str(path))
    yield made
    made.close()


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x")


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")


@linux
def test_a_write_ends_the_sleep(watch: Watch, path: Path) -> None:
    writer = threading.Thread(target=_append, args=[path])
    writer.start()
    assert watch.sleep(60.0, through_writes=False)
    writer.join()


@linux
def test_a_write_before_the_sleep_ends_it_too(watch: Watch, path: Path) -> None:
    _append(path)
    assert watch.sleep(60.0, through_writes=False)


@linux
def test_one_can_sleep_through_writes_and_hear_of_them_later(watch: Watch, path: Path) -> None:
    _append(path)
    assert not watch.sleep(0.001, through_writes=True)
    assert watch.sleep(60.0, through_writes=False)


def test_a_call_ends_the_sleep_and_is_no_write(watch: Watch) -> None:
    watch.wake()
    assert not watch.sleep(60.0, through_writes=False)


def test_nothing_ends_it_but_the_time(watch: Watch) -> None:
    assert not watch.sleep(0.001, through_writes=False)


def test_where_the_file_is_not_there_one_must_look_oneself(tmp_path: Path) -> None:
    watch = Watch(str(tmp_path / "nothing"))
    assert not watch.tells
    watch.close()
