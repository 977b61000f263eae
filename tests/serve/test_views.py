"""`app.views`: the same tables from Python."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from uuid import UUID

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vagus as vg
from tests.serve.conftest import (
    DEADLINE_S,
    NOON,
    Driver,
    Reading,
    parcel,
    reading,
    wait_until,
    weather,
)
from vagus.hub import Records, TopicPartition
from vagus.hub.schemas import HubRegistry
from vagus.streams import Views

if TYPE_CHECKING:
    from pathlib import Path

    from vagus.streams import App


def windows(retention: str | None) -> App:
    app = vg.App("weather")
    readings = app.topic("reading", Reading, key="sensor", time="at")
    readings.window(vg.tumbling("1h", grace="10d")).agg(readings=vg.count()).to_table(
        "sensor-hour", retention=retention
    )
    return app


def test_a_key_gives_its_row_or_nothing() -> None:
    with vg.testing.Harness(weather()) as h:
        h.send("reading", [reading("roof"), reading("roof")])
        assert h.app.views["sensor-count"].get("roof") == {"sensor": "roof", "readings": 2}
        assert h.app.views["sensor-count"].get("cellar") is None


def test_a_key_of_a_windowed_table_gives_a_list_of_rows() -> None:
    with vg.testing.Harness(weather()) as h:
        h.send("reading", [reading("roof", minutes) for minutes in (70, 0, 1)])
        rows = h.app.views["sensor-hour"].get("roof")
        assert [row["readings"] for row in rows] == [2, 1]
        assert (
            h.app.views["sensor-hour"].get("roof", window_from=NOON + timedelta(minutes=1))
            == (rows[1:])
        )
        assert h.app.views["sensor-hour"].get("cellar") == []


def test_a_scan_gives_a_frame() -> None:
    with vg.testing.Harness(weather()) as h:
        h.send("driver", [Driver(driver_id=n, name=str(n)) for n in (3, 1, 2)])
        found = h.app.views["driver"].scan(limit=2)
        assert found.to_dict(as_series=False) == {"driver_id": [1, 2], "name": ["1", "2"]}


def test_a_table_that_nobody_has_written_to_is_empty() -> None:
    with vg.testing.Harness(weather()) as h:
        view = h.app.views["driver"]
        assert len(view) == 0
        assert view.newest() is None
        assert view.scan().columns == ["driver_id", "name"]


def test_an_unknown_view_is_an_error_that_names_the_nearest() -> None:
    with (
        vg.testing.Harness(weather()) as h,
        pytest.raises(vg.errors.VagusError, match="did you mean 'driver'"),
    ):
        h.app.views["drivers"]


def test_without_a_running_application_there_are_no_views() -> None:
    with pytest.raises(vg.errors.VagusError, match="only declared"):
        weather().views  # noqa: B018


def test_a_key_of_another_type_is_refused() -> None:
    with vg.testing.Harness(weather()) as h:
        for view, key in (("driver", "7"), ("driver", True), ("sensor-count", 7), ("blob", "x")):
            with pytest.raises(vg.errors.VagusError, match="expected a key of type"):
                h.app.views[view].get(key)


def test_a_uuid_can_be_a_key() -> None:
    code = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
    with vg.testing.Harness(weather()) as h:
        h.send("parcel", parcel(code))
        assert h.app.views["parcel"].get(code) == h.app.views["parcel"].get(str(code))
        assert h.app.views["parcel"].get(code)["price"] == Decimal("12.50")


def test_bounds_of_windows_need_windows_and_a_zone() -> None:
    with vg.testing.Harness(weather()) as h:
        with pytest.raises(vg.errors.VagusError, match="expected no bounds"):
            h.app.views["driver"].scan(window_from=NOON)
        with pytest.raises(vg.errors.VagusError, match="with its zone"):
            h.app.views["sensor-hour"].scan(window_from=datetime(2026, 1, 1))  # noqa: DTZ001


def test_rows_behind_the_retention_are_not_shown() -> None:
    with vg.testing.Harness(windows("3h")) as h:
        h.send("reading", [reading("roof", 60 * n) for n in range(5)])
        starts = h.app.views["sensor-hour"].scan()["window_start"].dt.hour().to_list()
        assert starts == [13, 14, 15, 16]
        assert len(h.app.views["sensor-hour"].get("roof")) == 4


def test_rows_behind_the_retention_do_not_pile_up() -> None:
    with vg.testing.Harness(windows("3h")) as h:
        for n in range(200):
            h.send("reading", reading("roof", 60 * n))
        assert len(h.app.views["sensor-hour"]) <= 5


def test_without_a_retention_all_rows_stay() -> None:
    with vg.testing.Harness(windows(None)) as h:
        h.send("reading", [reading("roof", 60 * n) for n in range(200)])
        assert len(h.app.views["sensor-hour"]) == 200


@given(
    rows=st.dictionaries(st.text("ab", max_size=3), st.integers(0, 9), max_size=12),
    gone=st.sets(st.text("ab", max_size=3), max_size=4),
    prefix=st.none() | st.text("ab", max_size=2),
    after=st.none() | st.text("ab", max_size=3),
    limit=st.integers(1, 8),
)
def test_a_page_is_what_a_plain_model_gives(
    rows: dict[str, int], gone: set[str], prefix: str | None, after: str | None, limit: int
) -> None:
    with vg.Client(_things(), ":memory:") as client:
        client.send("thing", [Thing(name=name, size=size) for name, size in rows.items()])
        client.delete("thing", sorted(gone))
        view = Views(client.app, client.hub, client.registry)["thing"]
        place = None if after is None else (after,)
        found, following = view.page(limit, prefix=prefix, after=place)
        wanted = [
            (name, size)
            for name, size in sorted(rows.items())
            if name not in gone
            and name.startswith(prefix or "")
            and (after is None or name > after)
        ]
        assert found.rows() == wanted[:limit]
        assert following == ((wanted[limit - 1][0],) if len(wanted) > limit else None)
        whole = {name: size for name, size in rows.items() if name not in gone}
        assert {name: view.get(name) for name in whole} == {
            name: {"name": name, "size": size} for name, size in whole.items()
        }


class Thing(vg.Event):
    name: str
    size: int


def _things() -> App:
    app = vg.App("things")
    app.table("thing", Thing, key="name")
    return app


def test_a_live_view_hears_of_what_others_write(tmp_path: Path) -> None:
    path, app = str(tmp_path / "vagus.db"), weather()
    with vg.connect(path) as ours, vg.Client(app, path) as theirs:
        views = Views(app, ours, HubRegistry(ours), live=True)
        assert views["driver"].get(1) is None
        theirs.send("driver", Driver(driver_id=1, name="Ada"))
        wait_until(lambda: views["driver"].get(1) is not None)
        views.close()


def test_a_topic_that_is_made_anew_gives_a_new_view(tmp_path: Path) -> None:
    app = weather()
    with vg.Client(app, str(tmp_path / "vagus.db")) as client:
        client.send("driver", [Driver(driver_id=n, name="old") for n in range(3)])
        views = Views(app, client.hub, HubRegistry(client.hub), live=True)
        assert len(views["driver"]) == 3
        client.hub.delete_topic("driver")
        client.hub.create_topic("driver", app.topics["driver"].config)
        client.send("driver", Driver(driver_id=9, name="new"))
        wait_until(lambda: views["driver"].scan().rows() == [(9, "new")])
        views.close()


def test_a_record_that_cannot_be_read_is_counted_and_left_out(tmp_path: Path) -> None:
    app = weather()
    with vg.Client(app, str(tmp_path / "vagus.db")) as client:
        client.send("driver", Driver(driver_id=1, name="Ada"))
        records = Records.of([(2).to_bytes(8, "big")], [b"nonsense"], [0])
        client.hub.append([(TopicPartition("driver", 0), records)])
        views = Views(app, client.hub, HubRegistry(client.hub))
        assert views["driver"].scan().rows() == [(1, "Ada")]
        assert views["driver"].unreadable == 1
        views.close()


def test_a_view_that_is_being_restored_can_be_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.streams.followed._WAIT_S", 3600.0)  # nobody waits for as long
    app, begun, go_on = weather(), threading.Event(), threading.Event()

    def slowly(_what: str, _done: int, _total: int) -> None:
        begun.set()
        go_on.wait(DEADLINE_S)

    with vg.Client(app, str(tmp_path / "vagus.db")) as client:
        client.send("driver", Driver(driver_id=1, name="Ada"))
        views = Views(app, client.hub, HubRegistry(client.hub), live=True, progress=slowly)
        [view] = [view for view in views.follow_all() if view.name == "driver"]
        assert begun.wait(DEADLINE_S)
        with pytest.raises(vg.errors.VagusError, match="not restored yet"):
            view.get(1)
        go_on.set()
        views.close()
        assert view.ready or view.error is None


def test_the_newest_time_is_that_of_the_events() -> None:
    with vg.testing.Harness(weather()) as h:
        h.send("reading", [reading("roof", 90), reading("roof", 5)])
        newest = h.app.views["sensor-count"].newest()
        assert newest == datetime(2026, 5, 1, 13, 30, tzinfo=UTC)


def test_windows_to_the_microsecond_are_bounded_rightly() -> None:
    with vg.testing.Harness(weather()) as h:
        h.send("reading", reading("roof"))
        view = h.app.views["sensor-hour"]
        just_after = NOON + timedelta(microseconds=1)
        for bounds, count in (
            ({"window_from": NOON}, 1),
            ({"window_from": just_after}, 0),
            ({"window_to": NOON}, 0),
            ({"window_to": just_after}, 1),
        ):
            assert len(view.get("roof", **bounds)) == count
            assert view.scan(**bounds).height == count


def test_a_frame_taken_before_stays_as_it_was() -> None:
    with vg.Client(_things(), ":memory:") as client:
        client.send("thing", Thing(name="a", size=1))
        view = Views(client.app, client.hub, client.registry)["thing"]
        before = view.scan()
        client.send("thing", Thing(name="a", size=2))
        assert view.refresh()
        assert view.get("a") == {"name": "a", "size": 2}
        assert before.equals(pl.DataFrame({"name": ["a"], "size": [1]}))
