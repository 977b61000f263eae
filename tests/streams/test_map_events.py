"""map_events calls a Python function, plain or async, for each event."""

from __future__ import annotations

import asyncio

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import Reading, at, column, reading, rows, topic
from vagus.errors import DeclarationError


class Alert(vg.Event):
    text: str


def _alert(event: Reading) -> Alert | None:
    if event.celsius is None or event.celsius < 30:
        return None
    return Alert(text=f"{event.sensor} has {event.celsius:.0f}")


def test_the_event_that_it_returns_takes_the_place_of_the_other() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_alert).to("alert")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 31, minutes=2))

        assert rows(harness, "alert", "_key", "_time", "text") == [("a", at(2), "a has 31")]


def test_none_leaves_the_event_out() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_alert).to("alert")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 3), reading("b", 40), reading("c", None)])

        assert column(harness, "alert", "text") == ["b has 40"]


def test_an_async_function_is_called_for_many_events_at_once_and_keeps_their_order() -> None:
    under_way, most = 0, 0

    async def slow(event: Reading) -> Alert:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - int(event.sensor)):  # the first is done last
            await asyncio.sleep(0)
        under_way -= 1
        return Alert(text=event.sensor)

    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(slow).to("alert")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading(str(n), n) for n in range(10)])

        assert column(harness, "alert", "text") == [str(n) for n in range(10)]
        assert most == 10


def test_deletions_pass_by() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_alert).to("alert")
    with vg.testing.Harness(app) as harness:
        harness.delete(readings, "a")

        assert rows(harness, "alert", "_key", "_tombstone") == [("a", True)]


def test_an_event_for_which_it_raises_becomes_a_dead_letter() -> None:
    def fussy(event: Reading) -> Reading:
        if event.celsius is None:
            raise ValueError("nothing measured")
        return event

    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(fussy).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", None), reading("c", 3)])

        assert column(harness, "out", "celsius") == [1, 3]
        assert [letter.error for letter in harness.dead_letters] == ["ValueError: nothing measured"]


def test_a_result_of_another_type_becomes_a_dead_letter() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(lambda event: event, into=Alert).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        (letter,) = harness.dead_letters
        assert letter.error == "TypeError: expected Alert, got Reading"


def test_a_function_may_change_the_field_that_is_the_key() -> None:
    """Then a grouping by that field is one by its new values."""

    def building(event: Reading) -> Reading:
        return reading(event.sensor.split("-")[0], event.celsius)

    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(building).group_by("sensor").agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("north-1", 1), reading("north-2", 2), reading("south", 3)])

        assert rows(harness, "count", "_key", "n") == [("north", 2), ("south", 1)]


def test_events_of_a_step_without_a_class_are_named_tuples() -> None:
    def text(row: object) -> Alert:
        return Alert(text=f"{row.sensor} {row.warm}")  # type: ignore[attr-defined]

    app = vg.App("weather")
    readings = topic(app)
    with_warm = readings.with_columns(warm=pl.col("celsius") > 20)
    with_warm.map_events(text).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 30))

        assert column(harness, "out", "text") == ["a True"]


def test_a_function_that_does_not_say_what_it_returns_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"which event .* returns.*into=EventType"):
        topic(vg.App("weather")).map_events(lambda event: event)
