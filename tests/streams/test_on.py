"""app.on calls a function for each event, for what it does outside."""

from __future__ import annotations

import polars as pl

import vagus as vg
from tests.streams.readings import Reading, reading, topic


def test_the_function_is_called_with_each_event_in_order() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen: list[Reading] = []

    @app.on(readings.filter(pl.col("celsius") > 20))
    def warn(event: Reading) -> None:
        seen.append(event)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 21), reading("b", 2), reading("c", 35)])

        assert seen == [reading("a", 21), reading("c", 35)]


def test_it_may_be_async() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen = []

    @app.on(readings)
    async def warn(event: Reading) -> None:
        seen.append(event.sensor)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])

        assert sorted(seen) == ["a", "b"]


def test_a_tables_rows_come_too_but_no_deletions() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen = []
    counts = readings.group_by().agg(n=vg.count())

    @app.on(counts.filter(pl.col("n") >= 2))
    def tell(row: object) -> None:
        seen.append((row.sensor, row.n))  # type: ignore[attr-defined]

    with vg.testing.Harness(app) as harness:
        for _ in range(3):
            harness.send(readings, reading("a", 1))

        assert seen == [("a", 2), ("a", 3)]


def test_an_event_for_which_it_raises_becomes_a_dead_letter() -> None:
    app = vg.App("weather")
    readings = topic(app)

    @app.on(readings)
    def warn(event: Reading) -> None:
        raise ConnectionError("the siren is down")

    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        (letter,) = harness.dead_letters
        assert letter.step == "reading.on warn"
        assert letter.error == "ConnectionError: the siren is down"


def test_the_function_is_called_again_if_the_worker_dies_before_the_commit() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen = []

    @app.on(readings)
    def warn(event: Reading) -> None:
        seen.append(event.sensor)

    with vg.testing.Harness(app) as harness:
        harness.crash_at("written")
        harness.send(readings, reading("a", 1))

        assert seen == ["a", "a"]


def test_the_decorated_function_stays_what_it_was() -> None:
    app = vg.App("weather")

    def warn(event: Reading) -> None:
        pass

    assert app.on(topic(app))(warn) is warn
