"""`vagus hub`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def test_info_shows_what_the_hub_holds(vagus, bus):
    found = vagus("hub", "info", "--json").json
    assert found["topics"] == 2
    assert found["records"] == 4
    assert "topics" in vagus("hub", "info").out


def test_a_sound_hub_is_said_to_be_sound(vagus, bus):
    assert "sound: 4 events" in vagus("hub", "check").err
    assert vagus("hub", "check", "--json").json["ok"] is True


def test_damage_is_exit_code_3_and_names_what_is_lost(vagus, bus, folder: Path):
    with closing(sqlite3.connect(folder / "vagus.db")) as db:
        db.execute("UPDATE batch SET crc = crc + 1 WHERE count = 3")
        db.commit()
    done = vagus("hub", "check", code=3)
    assert "bus" in done.out
    assert "1 of 2 batches" in done.err
    [damage] = vagus("hub", "check", "--json", code=3).json["damage"]
    assert (damage["topic"], damage["first_offset"], damage["last_offset"]) == ("bus", 0, 2)


def test_a_backup_is_a_hub_of_its_own(vagus, bus):
    vagus("hub", "backup", "copy.db")
    vagus("topic", "delete", bus, "--yes")
    assert len(vagus("consume", bus, "--hub", "copy.db").lines) == 3
    assert "existing file" in vagus("hub", "backup", "copy.db", code=1).err


def test_a_file_that_is_no_hub_is_one_line(vagus, write):
    write("vagus.db", "this is not a hub, but it is long enough to look at: " * 50)
    vagus("hub", "info", code=1)


def test_a_hub_of_an_unknown_kind_is_one_line(vagus):
    vagus("topic", "list", "--hub", "postgres://somewhere", code=1)
