"""`vagus dead-letters`."""

from __future__ import annotations

import pytest

import vagus as vg
from vagus.hub import connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Worker


class Reading(vg.Event):
    sensor: str
    celsius: float


mended = False
app = vg.App("weather")
readings = app.topic("reading", Reading, key="sensor")


def warm(event: Reading) -> Reading:
    if event.celsius < 0 and not mended:
        raise ValueError(f"too cold: {event.celsius}")
    return event


readings.map_events(warm).to("warm")


def work() -> None:
    """Do all that there is to do."""
    with connect("vagus.db") as hub:
        worker = Worker(app.name, app.topology, hub, HubRegistry(hub), policy=app.policy)
        while worker.turn():
            pass
        worker.close()


@pytest.fixture
def letters(folder, monkeypatch) -> list[Reading]:
    """Two of three events could not be processed."""
    events = [Reading(sensor=f"s{n}", celsius=n) for n in (-1.0, 5.0, -2.0)]
    with vg.Client(app, "vagus.db") as client:
        client.send(readings, events)
    work()
    return events


def test_letters_are_listed_with_their_place_and_error(vagus, letters):
    rows = vagus("dead-letters", "list", "weather", "--json").json
    assert [(row["number"], row["topic"], row["offset"]) for row in rows] == [
        (0, "reading", 0),
        (1, "reading", 2),
    ]
    assert "too cold: -1.0" in rows[0]["error"]
    assert "too cold" in vagus("dead-letters", "list", "weather").out


def test_a_letter_is_shown_with_its_event_and_traceback(vagus, letters):
    shown = vagus("dead-letters", "show", "weather", "1", "--json").json
    assert shown["event"] == {"sensor": "s-2.0", "celsius": -2.0}
    assert "in warm" in shown["traceback"]
    assert "in warm" in vagus("dead-letters", "show", "weather", "1").out


def test_replayed_letters_are_processed(vagus, letters, monkeypatch):
    monkeypatch.setitem(globals(), "mended", True)
    vagus("dead-letters", "replay", "weather", "1")
    work()
    assert [row["celsius"] for row in vagus("consume", "warm").lines] == [5.0, -2.0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["list", "wether"], "did you mean 'weather'?"),
        (["show", "weather", "7"], "there is 0 to 1"),
        (["replay", "weather", "0", "7"], "no dead letter 7"),
    ],
)
def test_wrong_names_are_one_line(vagus, letters, words: list[str], told: str):
    assert told in vagus("dead-letters", *words, code=1).err


def test_replay_wants_to_know_which(vagus, letters):
    assert "--all" in vagus("dead-letters", "replay", "weather", code=2).err
