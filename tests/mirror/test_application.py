"""An application that moves over with its state."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

import vagus as vg
from tests.contract.cluster import clean
from tests.mirror.conftest import mirror
from vagus.hub import Hub, connect
from vagus.runtime.runner import Runner

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster


class Reading(vg.Event):
    sensor: str
    room: str


def weather() -> vg.App:
    app = vg.App("weather")
    readings = app.topic("reading", Reading, key="sensor", partitions=2)
    readings.group_by("room").agg(readings=vg.count()).to_table("by-room")
    return app


def send(app: vg.App, hub: Hub, count: int) -> None:
    numbers = range(count)
    rows = {"sensor": [f"s{n % 50}" for n in numbers], "room": [f"r{n % 7}" for n in numbers]}
    with vg.Client(app, hub) as client:
        client.send("reading", pl.DataFrame(rows))


def run(app: vg.App, hub: Hub, count: int) -> None:
    """Run until so many events are in the table."""

    def watch(runner: Runner) -> None:
        if "by-room" in hub.topics() and sum(counted(app, hub).values()) >= count:
            runner.stop()

    assert Runner(app, hub, watch=watch).run() == 0


def counted(app: vg.App, hub: Hub) -> dict[str, int]:
    """The newest row of each room."""
    with vg.Client(app, hub) as client:
        rows = client.read("by-room")
    return dict(zip(rows["_key"].to_list(), rows["readings"].to_list(), strict=True))


@pytest.mark.parametrize("to", ["file", "kafka"])
def test_an_application_goes_on_where_it_was(
    tmp_path: Path, to: str, request: pytest.FixtureRequest
) -> None:
    address = str(tmp_path / "there.db")
    if to == "kafka":
        kafka: Cluster = request.getfixturevalue("kafka")
        address = f"kafka://{kafka.bootstrap}"
    app = weather()
    with connect(str(tmp_path / "here.db")) as here, connect(address) as there:
        send(app, here, 700)
        run(app, here, 700)
        send(app, here, 70)  # not processed here any more
        moved = mirror(here, there, with_groups=True)
        moved.copy()
        assert all(each.same for each in moved.verify())
        assert counted(app, there) == {f"r{n}": 100 for n in range(7)}
        run(app, there, 770)
        assert counted(app, there) == {f"r{n}": 110 for n in range(7)}
        with pytest.raises(vg.errors.HubError, match="works there already"):
            mirror(here, there).copy()
    if to == "kafka":
        clean(kafka.bootstrap)
