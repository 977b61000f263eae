"""describe shows an application as text and as a Mermaid flowchart."""

from __future__ import annotations

import polars as pl

import vagus as vg
from tests.streams.readings import Sensor, topic


def _app() -> vg.App:
    app = vg.App("weather")
    readings = topic(app)
    sensors = app.table("sensor", Sensor, key="sensor")
    readings.filter(pl.col("celsius") > 20).to("warm")
    readings.join(sensors).group_by("room").agg(n=vg.count()).to_table("per-room")
    return app


def test_the_text_names_parts_topics_steps_and_state() -> None:
    text = str(_app().describe())

    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "weather"
    assert "part 0" in lines
    assert "part 1" in lines
    assert "reads  reading" in lines
    assert "reads  sensor" in lines
    assert "writes warm, from reading.filter" in lines
    assert any(
        line.startswith("does   reading-by-room: group by room")
        and line.endswith("with state weather-reading-by-room-changelog")
        for line in lines
    )


def test_mermaid_has_a_node_for_each_topic_and_step_and_an_arrow_for_each_way() -> None:
    chart = _app().describe().mermaid()

    assert chart.startswith("flowchart LR\n")
    for topic_name in ("reading", "sensor", "warm", "per-room"):
        assert f'[("{topic_name}")]' in chart
    assert chart.count("-->") >= 8


def test_quotes_do_not_break_the_chart() -> None:
    app = vg.App("weather")
    topic(app).rekey(pl.col("sensor") + '"').to("out")

    labels = [line for line in app.describe().mermaid().splitlines() if "rekey" in line]
    assert labels
    assert all(line.count('"') == 2 for line in labels)


def test_a_table_that_every_worker_holds_is_shown() -> None:
    class Visit(vg.Event):
        user: str
        sensor: str

    app = vg.App("weather")
    sensors = app.table("sensor", Sensor, key="sensor")
    app.topic("visit", Visit, key="user").join(sensors, on="sensor").to("out")

    assert "with all of sensor" in str(app.describe())
    assert "-.->" in app.describe().mermaid()


def test_describing_needs_no_hub_and_changes_nothing() -> None:
    app = _app()
    before = [node.name for node in app.topology.nodes]

    str(app.describe())
    app.describe().mermaid()

    assert [node.name for node in app.topology.nodes] == before
