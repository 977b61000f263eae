"""Events that can't be processed are set apart, and the rest goes on."""

from __future__ import annotations

import pytest

import vagus as vg
from tests.streams.readings import Reading, column, reading, topic
from vagus.hub import Records, TopicPartition
from vagus.runtime.batch import Stopped


class _Flaky:
    """Raises until it was called `failures` times."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self, event: Reading) -> Reading:
        if self.left:
            self.left -= 1
            raise ConnectionError("try again")
        return event


def _fussy(event: Reading) -> Reading:
    if event.celsius is None:
        raise ValueError("nothing measured")
    return event


def test_a_dead_letter_tells_error_place_tries_and_bytes() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_fussy).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", None)])

        (letter,) = harness.dead_letters
        assert (letter.topic, letter.partition, letter.offset) == ("reading", 0, 1)
        assert (letter.step, letter.tries) == ("reading.map_events", 1)
        assert letter.error == "ValueError: nothing measured"
        assert 'raise ValueError("nothing measured")' in letter.detail
        assert letter.key == b"b"
        (read,) = harness.hub.reader({TopicPartition("reading", 0): 1}).read()
        assert letter.value == read.values.to_list()[0]


def test_bytes_that_cannot_be_read_become_a_dead_letter() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        bad = Records.of([b"b"], [b"not Avro"], [0])
        harness.hub.append([(TopicPartition("reading", 0), bad)])
        harness.send(readings, reading("c", 3))

        assert column(harness, "out", "sensor") == ["a", "c"]
        (letter,) = harness.dead_letters
        assert (letter.offset, letter.key, letter.value) == (1, b"b", b"not Avro")


def test_a_function_is_tried_again_as_configured() -> None:
    app = vg.App("weather", retry=vg.Retry(times=3, wait_s=0.5))
    readings = topic(app)
    readings.map_events(_Flaky(2), into=Reading).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        assert column(harness, "out", "sensor") == ["a"]
        assert harness.dead_letters == []
        assert harness.slept_s == [0.5, 1.0]


def test_when_the_retries_are_used_up_it_is_a_dead_letter() -> None:
    app = vg.App("weather", retry=vg.Retry(times=2))
    readings = topic(app)
    readings.map_events(_Flaky(3), into=Reading).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])

        assert column(harness, "out", "sensor") == ["b"]
        assert [letter.tries for letter in harness.dead_letters] == [3]


def test_by_default_nothing_is_tried_again() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_Flaky(1), into=Reading).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))

        assert len(harness.dead_letters) == 1


def test_they_are_counted() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_fussy).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", None), reading("b", None)])

        assert harness.metrics.count("dead_letters", "reading.map_events") == 2


def test_with_stop_the_application_stops_and_nothing_is_committed() -> None:
    app = vg.App("weather", on_error="stop")
    readings = topic(app)
    readings.map_events(_fussy).to("out")
    with vg.testing.Harness(app) as harness:
        with pytest.raises(Stopped, match=r"nothing measured.*reading, partition 0, offset 1"):
            harness.send(readings, [reading("a", 1), reading("b", None)])

        assert harness.read("out").is_empty()
        assert harness.dead_letters == []


def test_a_replayed_letter_goes_through_the_step_that_failed_and_those_after() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_Flaky(1), into=Reading).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])
        harness.replay(*harness.dead_letters)

        assert column(harness, "out", "sensor") == ["b", "a"]


def test_a_replayed_letter_goes_through_no_other_step() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_Flaky(1), into=Reading).to("out")
    readings.to("copy")
    readings.group_by().agg(n=vg.count()).to_table("count")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.replay(*harness.dead_letters)

        assert column(harness, "out", "sensor") == ["a"]
        assert column(harness, "copy", "sensor") == ["a"]
        assert harness.views["count"].get("a") == {"sensor": "a", "n": 1}


def test_another_application_passes_over_a_replayed_letter() -> None:
    app, other = vg.App("weather"), vg.App("other")
    readings = topic(app)
    readings.map_events(_Flaky(1), into=Reading).to("out")
    topic(other).to("copy")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.replay(*harness.dead_letters)

        from vagus.runtime.worker import Worker

        worker = Worker("other", other.topology, harness.hub, harness.registry)
        while worker.turn():
            pass
        worker.close()
        assert vg.Client(other, harness.hub).read("copy")["sensor"].to_list() == ["a"]


def test_a_letter_that_fails_again_is_a_dead_letter_again() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_fussy).to("out")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", None))
        harness.replay(*harness.dead_letters)

        assert [letter.error for letter in harness.dead_letters] == [
            "ValueError: nothing measured"
        ] * 2


def test_a_letter_that_a_step_before_has_counted_is_not_counted_twice() -> None:
    def fussy(row: object) -> Reading:
        raise ValueError("no")

    app = vg.App("weather")
    readings = topic(app)
    counts = readings.group_by().agg(n=vg.count(), emit="each", name="count")
    counts.to_stream().map_events(fussy, into=Reading).to("out")
    counts.to_table("count-table")
    with vg.testing.Harness(app) as harness:
        harness.send(readings, reading("a", 1))
        harness.replay(*harness.dead_letters)

        assert harness.views["count-table"].get("a") == {"sensor": "a", "n": 1}
        assert "already counted by 'count'" in harness.dead_letters[-1].error


def test_after_a_crash_a_dead_letter_is_there_once() -> None:
    app = vg.App("weather")
    readings = topic(app)
    readings.map_events(_fussy).to("out")
    with vg.testing.Harness(app) as harness:
        harness.crash_at("written", "processed")
        harness.send(readings, reading("a", None))

        assert len(harness.dead_letters) == 1
