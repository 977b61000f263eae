"""From a file to Kafka and back, against a real broker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.cluster import clean
from tests.contract.hubs import eventually, records
from tests.mirror.conftest import everything, fill, mirror, unread
from tests.mirror.test_schemas import OTHER, read_lines, write_lines
from vagus.errors import Fenced
from vagus.hub import Hub, TopicConfig, TopicPartition, connect
from vagus.hub.mirror.mirror import identity
from vagus.hub.schemas import HubRegistry

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster
    from tests.kafka.old import OldBroker

BUS = TopicPartition("bus", 0)
TABLE = TopicPartition("table", 0)


@pytest.fixture
def cluster(kafka: Cluster) -> Iterator[Hub]:
    with connect(f"kafka://{kafka.bootstrap}") as hub:
        yield hub
    clean(kafka.bootstrap)


@pytest.fixture
def elsewhere(old_kafka: OldBroker) -> Iterator[Hub]:
    """Another cluster, of another age."""
    with connect(f"kafka://{old_kafka.bootstrap}") as hub:
        yield hub
    clean(old_kafka.bootstrap)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Hub]:
    with connect(str(tmp_path / "other.db")) as hub:
        yield hub


@pytest.fixture
def laptop(source: Hub) -> Hub:
    """A hub with events, a table with gaps, schemas, and groups amid."""
    source.create_topic("table", TopicConfig(cleanup="compact"))
    fill(source, "table", 60)
    source.wipe("table")
    fill(source, "table", 20, first=60)
    write_lines(source)
    source.reset_group("look", {BUS: 20, TABLE: 65})
    source.reset_group("end", {BUS: 50})
    return source


def test_what_goes_to_kafka_and_back_is_the_same(laptop: Hub, cluster: Hub, other: Hub) -> None:
    there = mirror(laptop, cluster, with_groups=True)
    there.copy()
    assert all(each.same for each in there.verify())
    back = mirror(cluster, other, name="cluster", with_groups=True)
    back.copy()
    assert all(each.same for each in back.verify())
    for topic in ("bus", "table", "line"):
        assert everything(other, topic) == everything(laptop, topic)
    assert read_lines(other) == read_lines(laptop)
    for group, place in (("look", BUS), ("look", TABLE), ("end", BUS)):
        at = laptop.committed(group, [place])[place]
        for hub in (cluster, other):
            moved = hub.committed(group, [place])[place]
            assert unread(hub, place, moved) == unread(laptop, place, at)


def test_what_goes_from_cluster_to_cluster_is_the_same(
    laptop: Hub, cluster: Hub, elsewhere: Hub
) -> None:
    mirror(laptop, cluster, with_groups=True).copy()
    over = mirror(cluster, elsewhere, name="cluster", with_groups=True)
    over.copy()
    assert all(each.same for each in over.verify())
    for topic in ("bus", "table", "line"):
        assert everything(elsewhere, topic) == everything(laptop, topic)
        config = laptop.describe_topic(topic).config
        assert elsewhere.describe_topic(topic).config == config
    assert read_lines(elsewhere) == read_lines(laptop)
    at = laptop.committed("look", [BUS])[BUS]
    moved = elsewhere.committed("look", [BUS])[BUS]
    assert unread(elsewhere, BUS, moved) == unread(laptop, BUS, at)
    cluster.append([(BUS, records([b"later"]))])
    over.copy()
    assert everything(elsewhere, "bus") == everything(cluster, "bus")


def test_who_follows_from_cluster_to_cluster_stops_amid_and_goes_on(
    cluster: Hub, elsewhere: Hub
) -> None:
    """Without loss or repetition. Each follower is stopped right after events have come."""
    cluster.create_topic("bus", TopicConfig(partitions=2))
    command = [sys.executable, "-m", "vagus.cli", "mirror", cluster.url, elsewhere.url, "--follow"]

    def is_copied() -> bool:
        known = "bus" in elsewhere.topics()
        return known and everything(elsewhere, "bus") == everything(cluster, "bus")

    for number in range(3):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            try:
                for batch in range(4):
                    fill(cluster, "bus", 30, first=1000 * number + 30 * batch)
                eventually(is_copied, "what was there, and what came, is copied")
                fill(cluster, "bus", 500, first=1000 * number + 500)
            finally:
                process.send_signal(signal.SIGINT)
            assert "stopped; it goes on from here" in process.communicate()[1]
            assert process.returncode == os.EX_OK
    mirror(cluster, elsewhere, name=identity(cluster.url)).copy()
    assert everything(elsewhere, "bus") == everything(cluster, "bus")


def test_it_goes_on_in_kafka_in_steps(
    laptop: Hub, cluster: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.hub.mirror.mirror.STEP_RECORDS", 20)
    mirror(laptop, cluster).copy()
    assert mirror(laptop, cluster).copy() == 0
    for number in range(3):
        fill(laptop, "bus", 40, first=100 + 40 * number)
    laptop.reset_group("look", {BUS: 77})
    mirror(laptop, cluster, with_groups=True).copy()
    assert everything(cluster, "bus") == everything(laptop, "bus")
    assert unread(cluster, BUS, cluster.committed("look", [BUS])[BUS]) == unread(laptop, BUS, 77)


def test_it_goes_on_from_kafka(cluster: Hub, other: Hub) -> None:
    cluster.create_topic("bus", TopicConfig(partitions=2))
    for number in range(3):
        transaction = cluster.begin("writer")  # each leaves a marker behind
        fill_in(transaction, number)
        transaction.commit()
        aborted = cluster.begin("writer")
        fill_in(aborted, 1000 + number)
        aborted.abort()
        assert mirror(cluster, other, name="cluster").copy() == 20
    cluster.reset_group("look", {BUS: 7})
    mirror(cluster, other, name="cluster", with_groups=True).copy()
    assert everything(other, "bus") == everything(cluster, "bus")
    assert unread(other, BUS, other.committed("look", [BUS])[BUS]) == unread(cluster, BUS, 7)


def fill_in(transaction, number: int) -> None:
    with closing(connect(":memory:")) as made:
        made.create_topic("bus", TopicConfig())
        fill(made, "bus", 20, first=20 * number)
        with made.reader({BUS: 0}) as reader:
            transaction.append([(BUS, reader.read()[0])])


def test_ids_that_are_taken_in_kafka_are_changed(laptop: Hub, cluster: Hub) -> None:
    HubRegistry(cluster).register("mine-value", OTHER)
    at_work = mirror(laptop, cluster)
    at_work.copy()
    assert read_lines(cluster) == read_lines(laptop)
    assert all(each.same for each in at_work.verify())


def test_a_newer_mirror_to_kafka_fences_an_older_one(laptop: Hub, cluster: Hub) -> None:
    older, newer = mirror(laptop, cluster), mirror(laptop, cluster)
    older.copy()
    newer.copy()
    fill(laptop, "bus", 30, first=100)
    newer.copy()
    fill(laptop, "bus", 30, first=130)
    with pytest.raises(Fenced, match="newer one at work"):
        older.copy()
    newer.copy()
    assert everything(cluster, "bus") == everything(laptop, "bus")
