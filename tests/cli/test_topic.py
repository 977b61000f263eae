"""`vagus topic`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest


def test_a_created_topic_is_listed(vagus):
    vagus("topic", "create", "bus", "--partitions", "3", "--retention", "7d")
    assert vagus("topic", "list", "--json").json == [
        {
            "topic": "bus",
            "partitions": 3,
            "events": 0,
            "bytes": 0,
            "cleanup": "delete",
            "retention_s": 604_800.0,
            "retention_bytes": None,
            "tombstone_retention_s": 86_400.0,
        }
    ]


def test_a_piped_list_has_aligned_plain_columns(vagus):
    vagus("topic", "create", "bus")
    assert vagus("topic", "list").out == (
        "topic  partitions  events  bytes  cleanup  retention s\n"
        "bus             1       0    0 B  delete   -\n"
    )


def test_describe_shows_each_partition(vagus, bus):
    [partition] = vagus("topic", "describe", bus, "--json").json["partitions"]
    assert (partition["start_offset"], partition["end_offset"]) == (0, 3)
    assert "kept     for ever" in vagus("topic", "describe", bus).out


def test_alter_changes_only_what_is_named(vagus):
    vagus("topic", "create", "bus", "--retention", "7d", "--retention-bytes", "2G")
    vagus("topic", "alter", "bus", "--retention", "forever", "--partitions", "2")
    described = vagus("topic", "describe", "bus", "--json").json
    assert len(described["partitions"]) == 2
    assert described["retention_s"] is None
    assert described["retention_bytes"] == 2 << 30


def test_adding_partitions_under_keys_needs_force(vagus, bus):
    refused = vagus("topic", "alter", bus, "--partitions", "4", code=1)
    assert "force" in refused.err
    vagus("topic", "alter", bus, "--partitions", "4", "--force")


def test_an_unknown_topic_is_told_with_the_nearest_name(vagus, bus):
    assert "did you mean 'bus'?" in vagus("topic", "describe", "buss", code=1).err


def test_deleting_asks_first(vagus, bus, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert "say --yes" in vagus("topic", "delete", bus, code=2).err
    vagus("topic", "delete", bus, "--yes")
    assert [row["topic"] for row in vagus("topic", "list", "--json").json] == ["_schemas"]


def test_nothing_is_deleted_if_one_name_is_wrong(vagus, bus):
    vagus("topic", "delete", bus, "nothing", "--yes", code=1)
    assert vagus("topic", "describe", bus, "--json").json["events"] == 3


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--retention", "soon", "expected a duration"),
        ("--retention-bytes", "much", "expected a size"),
        ("--cleanup", "burn", "expected one of"),
        ("--partitions", "0", "partitions"),
    ],
)
def test_a_wrong_configuration_is_one_line(vagus, option: str, value: str, told: str):
    assert told in vagus("topic", "create", "bus", option, value, code=1).err


def test_a_mistyped_hub_is_not_created_by_looking(vagus, folder: Path):
    assert "no hub at" in vagus("topic", "list", "--hub", "nowhere.db", code=1).err
    assert not list(folder.iterdir())


def test_the_hub_is_named_by_option_or_environment(vagus, folder: Path, monkeypatch):
    vagus("topic", "create", "one", "--hub", "one.db")
    monkeypatch.setenv("VAGUS_HUB", "two.db")
    vagus("topic", "create", "two")
    assert [row["topic"] for row in vagus("topic", "list", "--json").json] == ["two"]
    assert (folder / "one.db").exists()
