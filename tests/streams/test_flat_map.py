"""flat_map calls a Python function for each event, which makes any number of events."""

from __future__ import annotations

from collections.abc import Iterator

import vagus as vg
from tests.streams.readings import Reading, column, reading, rows, topic


class Word(vg.Event):
    text: str


def test_each_event_gives_as_many_as_the_function_returns() -> None:
    def words(event: Reading) -> list[Word]:
        return [Word(text=part) for part in event.sensor.split()]

    app = vg.App("weather")
    readings = topic(app)
    readings.flat_map(words).to("word")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("on the roof", 1), reading("", 2), reading("door", 3)])

        assert column(harness, "word", "text") == ["on", "the", "roof", "door"]
        assert column(harness, "word", "_key") == ["on the roof"] * 3 + ["door"]


def test_it_may_yield_them() -> None:
    def letters(event: Reading) -> Iterator[Word]:
        for letter in event.sensor:
            yield Word(text=letter)

    app = vg.App("weather")
    readings = topic(app)
    readings.flat_map(letters).to("word")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("roof", 1))

        assert column(harness, "word", "text") == ["r", "o", "o", "f"]


def test_if_it_raises_halfway_nothing_of_the_event_comes_out() -> None:
    def letters(event: Reading) -> Iterator[Word]:
        yield Word(text="first")
        if event.celsius is None:
            raise ValueError("nothing measured")

    app = vg.App("weather")
    readings = topic(app)
    readings.flat_map(letters).to("word")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", None), reading("b", 2)])

        assert rows(harness, "word", "_key", "text") == [("b", "first")]
        assert len(harness.dead_letters) == 1


def test_deletions_give_nothing() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.flat_map(lambda event: [event], into=Reading).to("out")
    with vg.testing.Harness(app) as harness:
        harness.delete(readings, "a")

        assert harness.read("out").is_empty()
