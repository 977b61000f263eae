"""Starting, stopping, health, measures and the description of the interface."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import vagus as vg
from tests.serve.conftest import DEADLINE_S, Driver, Running, reading, wait_until, weather
from vagus.serve import Server
from vagus.serve.measures import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Callable


def test_a_server_that_was_stopped_answers_no_more(tmp_path: Path) -> None:
    with vg.connect(str(tmp_path / "vagus.db")) as hub:
        server = Server(weather(), hub, port=0).start()
        assert httpx.get(server.url + "/health/live").json() == {"live": True}
        server.stop()
        server.stop()
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.url + "/health/live")


def test_nothing_is_left_of_a_server_that_was_stopped(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Running(weather(), tmp_path) as running:
        running.get("/views")
    ours = [t.name for t in set(threading.enumerate()) - before if t.name.startswith("vagus")]
    assert not ours


def test_a_port_in_use_is_an_error_of_one_line(tmp_path: Path) -> None:
    with (
        vg.connect(str(tmp_path / "vagus.db")) as hub,
        Server(weather(), hub, port=0) as first,
        pytest.raises(vg.errors.VagusError, match="it is in use") as raised,
    ):
        Server(weather(), hub, port=first.port).start()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
def test_an_address_that_is_none_is_an_error(tmp_path: Path, host: str, port: int) -> None:
    with (
        vg.connect(str(tmp_path / "vagus.db")) as hub,
        pytest.raises(vg.errors.VagusError, match="expected a port to serve on"),
    ):
        Server(weather(), hub, host=host, port=port).start()


def test_a_port_is_free_again_after_the_server(tmp_path: Path) -> None:
    with vg.connect(str(tmp_path / "vagus.db")) as hub:
        with Server(weather(), hub, port=0) as first:
            httpx.get(first.url + "/health/live")
        with Server(weather(), hub, port=first.port) as second:
            assert httpx.get(second.url + "/health/live").status_code == 200


def test_the_views_of_an_application_are_there_while_it_is_served(tmp_path: Path) -> None:
    app = weather()
    with Running(app, tmp_path) as running:
        running.send("driver", Driver(driver_id=7, name="Ada"))
        running.until(lambda: app.views["driver"].get(7) is not None)
        assert app.views["driver"].scan().rows() == [(7, "Ada")]
    with pytest.raises(vg.errors.VagusError, match="expected a running application"):
        app.views  # noqa: B018


def test_a_view_that_is_being_restored_says_so_and_answers_later(tmp_path: Path) -> None:
    app, go_on = weather(), threading.Event()

    def slowly(_what: str, _done: int, _total: int) -> None:
        go_on.wait(DEADLINE_S)

    with vg.Client(app, str(tmp_path / "vagus.db")) as client:
        client.send("driver", Driver(driver_id=1, name="Ada"))
        server = Server(app, client.hub, port=0).start(progress=slowly)
        for path in ("/views/driver/1", "/views/driver"):
            answer = httpx.get(server.url + path)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert answer.json()["type"] == "urn:vagus:problem:not-ready"
        views = httpx.get(server.url + "/views").json()["views"]
        assert [view["rows"] for view in views if view["name"] == "driver"] == [None]
        go_on.set()
        wait_until(lambda: httpx.get(server.url + "/views/driver/1").status_code == 200)
        server.stop()


def test_a_failure_is_a_problem_that_points_to_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> bool:
        raise RuntimeError("out of order")

    with (
        vg.connect(str(tmp_path / "vagus.db")) as hub,
        Server(weather(), hub, ready=broken, port=0) as server,
    ):
        answer = httpx.get(server.url + "/health/ready")
        assert answer.status_code == 500
        assert answer.json()["type"] == "urn:vagus:problem:failed"
        wait_until(lambda: "out of order" in caplog.text)


# Health


def test_a_process_is_live_before_it_is_ready(tmp_path: Path) -> None:
    with Running(weather(), tmp_path, worker=False) as running:
        assert running.get("/health/live").status_code == 200
        answer = running.get("/health/ready")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["workers"] is False


def test_it_is_ready_once_workers_and_views_are(running: Running) -> None:
    body = running.get("/health/ready").json()
    assert body["ready"] is True
    assert body["workers"] is True
    assert body["views"] == dict.fromkeys(running.app.tables, True)


def test_without_a_runner_it_is_ready_once_all_partitions_are_owned(tmp_path: Path) -> None:
    app = weather()
    with vg.connect(str(tmp_path / "vagus.db")) as hub, Server(app, hub, port=0) as server:

        def state() -> dict[str, Any]:
            body: dict[str, Any] = httpx.get(server.url + "/health/ready").json()
            return body

        wait_until(lambda: all(state()["views"].values()))
        assert state()["workers"] is False
        hub.create_topic("reading", app.topics["reading"].config)
        member = hub.join(app.name, [source.topic.name for source in app.topology.sources()])
        wait_until(lambda: member.read() == [] and len(member.assignment) == 2)
        wait_until(lambda: state()["workers"] is True)
        member.close()


# Measures


def _measures(running: Running) -> dict[str, float]:
    answer = running.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_measures_count_what_was_done(running: Running) -> None:
    running.send("reading", *(reading(f"s{n}", n) for n in range(20)))
    running.send("driver", Driver(driver_id=7, name="Ada"))
    running.until(lambda: len(running.rows("sensor-count")) == 20)
    running.until(lambda: len(running.rows("sensor-hour")) == 20)
    running.until(lambda: len(running.rows("driver")) == 1)
    running.until(lambda: _measures(running)['vagus_commits_total{app="weather"}'] >= 1)
    found = _measures(running)
    assert found['vagus_records_in_total{topic="reading"}'] == 20
    assert found['vagus_records_out_total{topic="sensor-count"}'] == 20
    assert found['vagus_view_rows{view="sensor-count"}'] == 20
    assert found['vagus_view_rows{view="driver"}'] == 1
    assert found['vagus_view_ready{view="parcel"}'] == 1
    assert found['vagus_view_newest_time_seconds{view="sensor-count"}'] == (
        reading("x", 19).at.timestamp()
    )
    assert found["vagus_members"] == 1


def test_lag_is_measured_for_each_partition(running: Running) -> None:
    lag = [f'vagus_lag_records{{partition="{n}",topic="reading"}}' for n in (0, 1)]
    running.send("reading", *(reading(f"s{n}", n) for n in range(20)))
    running.until(lambda: [_measures(running)[name] for name in lag] == [0, 0])


def test_lag_is_what_a_stopped_application_has_yet_to_read(tmp_path: Path) -> None:
    with Running(weather(), tmp_path) as running:
        running.send("reading", reading("s"))
        running.until(lambda: len(running.rows("sensor-count")) == 1)
    with Running(weather(), tmp_path, worker=False) as again:
        again.send("reading", *(reading("s", n) for n in range(5)))
        lags = [v for name, v in _measures(again).items() if name.startswith("vagus_lag_records")]
        assert sum(lags) == 5
        assert _measures(again)["vagus_members"] == 0


def test_every_count_of_the_runtime_has_a_promised_name() -> None:
    source = Path(vg.__file__).parent
    counted = {
        name
        for file in source.rglob("*.py")
        for name in re.findall(r'metrics\.add\(\s*"(\w+)"', file.read_text())
    }
    assert counted <= set(COUNTERS)


def test_every_promised_measure_is_documented() -> None:
    page = (Path(vg.__file__).parents[2] / "docs" / "views.md").read_text()
    assert [name for name in COUNTERS if f"`vagus_{name}_total`" not in page] == []


# The interface's description


def test_the_interface_describes_each_table(filled: Running) -> None:
    found = filled.get("/openapi.json").json()
    assert found["info"]["title"] == "weather"
    row = found["paths"]["/views/parcel/{key}"]["get"]
    assert [(p["name"], p["in"], p["schema"]) for p in row["parameters"]] == [
        ("key", "path", {"type": "string"})
    ]
    schema = row["responses"]["200"]["content"]["application/json"]["schema"]["properties"]
    assert schema["tags"] == {"type": "object", "additionalProperties": _INT}
    assert schema["due"] == {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}
    page = found["paths"]["/views/sensor-hour"]["get"]
    assert [parameter["name"] for parameter in page["parameters"]] == [
        "limit", "prefix", "after", "after_window", "window_from", "window_to",
    ]  # fmt: skip
    assert "application/problem+json" in page["responses"]["422"]["content"]


_INT = {"type": "integer", "format": "int64"}


def test_operations_have_names_of_their_own(filled: Running) -> None:
    paths = filled.get("/openapi.json").json()["paths"].values()
    names = [operation["operationId"] for path in paths for operation in path.values()]
    assert len(set(names)) == len(names)


def test_rows_are_as_the_interface_describes_them(filled: Running) -> None:
    paths = filled.get("/openapi.json").json()["paths"]
    for view in filled.get("/views").json()["views"]:
        answer = paths[f"/views/{view['name']}"]["get"]["responses"]["200"]
        row = answer["content"]["application/json"]["schema"]["properties"]["rows"]["items"]
        for found in filled.rows(view["name"]):
            assert list(found) == row["required"] == list(row["properties"])


def test_there_is_a_page_to_try_it_on(filled: Running) -> None:
    assert "swagger" in filled.get("/docs").text


# While it is busy


def test_answers_never_go_back_while_a_worker_writes(running: Running) -> None:
    """Counts only grow, in every answer, whoever asks."""
    rounds, sensors = 60, 4
    running.send("reading", *(reading(f"s{n}") for n in range(sensors)))
    running.until(lambda: len(running.rows("sensor-count")) == sensors)
    done = threading.Event()
    failures: list[BaseException] = []

    def ask(get: Callable[[httpx.Client], dict[str, int]]) -> None:
        seen: dict[str, int] = {}
        try:
            with httpx.Client(base_url=running.server.url) as http:
                while not done.is_set():
                    found = get(http)
                    assert {key: n for key, n in found.items() if n < seen.get(key, 0)} == {}
                    seen |= found
        except BaseException as error:  # noqa: BLE001 - a thread's failure is the test's
            failures.append(error)

    def one(http: httpx.Client) -> dict[str, int]:
        row = http.get("/views/sensor-count/s1").json()
        return {row["sensor"]: row["readings"]}

    def page(http: httpx.Client) -> dict[str, int]:
        rows = http.get("/views/sensor-count").json()["rows"]
        assert len(rows) == sensors
        return {row["sensor"]: row["readings"] for row in rows}

    askers = [threading.Thread(target=ask, args=[get]) for get in (one, page)]
    for asker in askers:
        asker.start()
    try:
        for n in range(1, rounds):
            running.send("reading", *(reading(f"s{s}", n) for s in range(sensors)))
        running.until(
            lambda: all(row["readings"] == rounds for row in running.rows("sensor-count"))
        )
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert not failures


def test_an_idle_connection_does_not_keep_the_server_from_stopping(tmp_path: Path) -> None:
    with vg.connect(str(tmp_path / "vagus.db")) as hub:
        server = Server(weather(), hub, port=0).start()
        with socket.create_connection(("127.0.0.1", server.port)):
            stopping = threading.Thread(target=server.stop)
            stopping.start()
            stopping.join(60)
            assert not stopping.is_alive()
