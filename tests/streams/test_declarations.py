"""Mistakes are told while an application is being declared, with the nearest name."""

from __future__ import annotations

import pytest

import vagus as vg
from tests.streams.readings import Reading, Sensor, topic
from vagus.errors import DeclarationError, VagusError


def test_a_key_that_is_no_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"Reading has no field 'senor'.*'sensor'"):
        vg.App("weather").topic("reading", Reading, key="senor")


def test_a_time_that_is_no_field_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(DeclarationError, match=r"no field 'aat' to be its time.*'at'"):
        vg.App("weather").topic("reading", Reading, time="aat")


def test_a_time_that_is_no_datetime_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected the time field 'celsius' to be a date"):
        vg.App("weather").topic("reading", Reading, time="celsius")


def test_a_key_of_a_type_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected a key of text, whole numbers or bytes"):
        vg.App("weather").topic("reading", Reading, key="celsius")


def test_what_is_no_event_class_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected an event class, got <class 'dict'>"):
        vg.App("weather").topic("reading", dict)


@pytest.mark.parametrize("name", ["", "the weather", "wetter/heute"])
def test_a_name_that_cannot_be_part_of_a_topics_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match="expected a name of letters, digits"):
        vg.App(name)


def test_another_on_error_is_refused() -> None:
    with pytest.raises(DeclarationError, match="expected on_error='dead-letter' or 'stop'"):
        vg.App("weather", on_error="ignore")  # type: ignore[arg-type]


def test_a_topic_declared_twice_alike_is_one() -> None:
    app = vg.App("weather")

    assert topic(app).node is topic(app).node


def test_a_topic_declared_twice_in_different_ways_is_refused() -> None:
    app = vg.App("weather")
    topic(app)
    with pytest.raises(DeclarationError, match="'reading' is declared twice, in different ways"):
        app.topic("reading", Sensor, key="sensor")


def test_sending_to_an_unknown_topic_is_refused_with_the_nearest_name() -> None:
    app = vg.App("weather")
    topic(app)
    with (
        vg.testing.Harness(app) as harness,
        pytest.raises(VagusError, match=r"no topic 'raeding'.*did you mean 'reading'"),
    ):
        harness.send("raeding", Reading(sensor="a", celsius=1))


def test_sending_an_event_of_another_class_is_refused() -> None:
    app = vg.App("weather")
    readings = topic(app)
    with (
        vg.testing.Harness(app) as harness,
        pytest.raises(VagusError, match="expected Reading, got Sensor"),
    ):
        harness.send(readings, Sensor(sensor="a", room="attic"))


def test_an_application_that_does_nothing_is_refused_when_it_is_run() -> None:
    app = vg.App("weather")
    topic(app)
    with (
        vg.testing.Harness(app) as harness,
        pytest.raises(DeclarationError, match=r"expected something to do.*\.to\("),
    ):
        harness.run()


def test_declaring_does_no_io(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket
    import sqlite3

    def refuse(*_arguments: object, **_named: object) -> None:
        raise AssertionError("declaring an application opened something")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr("builtins.open", refuse)
    app = vg.App("weather")
    readings = topic(app)
    readings.join(app.table("sensor", Sensor, key="sensor")).window(vg.tumbling("1m")).agg(
        n=vg.count()
    ).to_table("count")
    assert str(app.describe())
