"""`vagus mirror`."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from vagus.cli import main
from vagus.hub import Records, TopicPartition, connect

PATIENCE_S = 60.0


def test_a_hub_is_copied_and_compared(vagus, bus):
    vagus("consume", bus, "--group", "look", "--limit", "1")
    done = vagus("mirror", "vagus.db", "copy.db", "--groups", "--verify", "--json")
    assert "copied 3 events from vagus.db to copy.db" in done.err
    [row] = done.json
    assert (row["topic"], row["events"], row["copied"], row["same"]) == ("bus", 3, 3, "yes")
    assert row["checksum"] == row["checksum_of_copy"]
    assert vagus("consume", bus, "--hub", "copy.db").out == vagus("consume", bus).out
    rest = vagus("consume", bus, "--hub", "copy.db", "--group", "look", "--until", "latest")
    assert len(rest.lines) == 2


def test_a_difference_is_exit_code_1(vagus, bus, folder: Path):
    vagus("mirror", "vagus.db", "copy.db")
    with closing(sqlite3.connect("copy.db")) as db:  # a batch is lost behind everybody's back
        db.execute(
            "DELETE FROM batch WHERE partition_id = (SELECT p.id FROM partition p JOIN topic t "
            "ON t.id = p.topic_id WHERE t.name = 'bus')"
        )
        db.commit()
    assert main(["mirror", "vagus.db", "copy.db", "--verify"]) == 1


def test_a_source_that_is_not_there_is_an_error(vagus, folder: Path):
    assert "no hub at nowhere.db" in vagus("mirror", "nowhere.db", "copy.db", code=1).err
    assert not (folder / "copy.db").exists()


def test_what_changes_is_not_compared(vagus, bus):
    vagus("mirror", "vagus.db", "copy.db", "--follow", "--verify", code=2)


def test_following_copies_what_comes_until_ctrl_c(vagus, bus, folder: Path):
    place = TopicPartition(bus, 0)
    command = [sys.executable, "-m", "vagus.cli", "mirror", "vagus.db", "copy.db", "--follow"]
    with (
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process,
        closing(connect("copy.db")) as copy,
        closing(connect("vagus.db")) as hub,
    ):
        try:
            _wait_for(copy, place, 3)
            hub.append([(place, Records.of([b"17"], [None], [0]))])
            _wait_for(copy, place, 4)
        finally:
            process.send_signal(signal.SIGINT)
        assert "stopped; it goes on from here" in process.communicate()[1]
        assert process.returncode == os.EX_OK


def _wait_for(hub, place, count):
    deadline = time.monotonic() + PATIENCE_S
    while place.topic not in hub.topics() or hub.offsets([place], "latest")[place] < count:
        assert time.monotonic() < deadline, f"waited in vain for {count} events"
        time.sleep(0.02)
