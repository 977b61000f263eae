"""app.on calls a function for each event, for what it does outside."""

from __future__ import annotations

import polars as pl
import pytest

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


class Mail:
    """What a handler calls: works, or doesn't."""

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.sent: list[float] = []
        self.calls = 0

    def send(self, event: Reading) -> None:
        self.calls += 1
        if event.sensor in self.broken:
            raise ConnectionError("no answer")
        self.sent.append(event.celsius)


def test_it_is_told_a_key_that_is_the_same_each_time_an_event_is_handed_to_it() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen: list[tuple[float, str, int]] = []

    @app.on(readings, retry=vg.Retry(times=1))
    def warn(event: Reading, call: vg.Call) -> None:
        seen.append((event.celsius, call.idempotency_key, call.tries))
        if len(seen) < 3:
            raise ConnectionError

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1)])
        harness.replay(*harness.dead_letters)
        harness.send(readings, [reading("a", 2)])

    place = "reading.on warn/reading/0/0"
    assert seen[:3] == [(1, place, 0), (1, place, 1), (1, place, 0)]
    assert seen[3][1] == "reading.on warn/reading/0/2"


def test_the_key_is_the_same_after_a_crash() -> None:
    app = vg.App("weather")
    readings = topic(app)
    seen: list[str] = []

    @app.on(readings)
    def warn(event: Reading, call: vg.Call) -> None:
        seen.append(call.idempotency_key)

    with vg.testing.Harness(app) as harness:
        harness.crash_at("processed")
        harness.send(readings, [reading("a", 1)])

    assert len(seen) == 2
    assert len(set(seen)) == 1


def test_events_of_one_record_have_keys_of_their_own() -> None:
    app = vg.App("weather")
    twice = topic(app).flat_map(lambda event: [event, event], into=Reading)
    seen: list[str] = []

    @app.on(twice)
    def warn(event: Reading, call: vg.Call) -> None:
        seen.append(call.idempotency_key)

    with vg.testing.Harness(app) as harness:
        harness.send("reading", [reading("a", 1)])

    assert len(set(seen)) == 2


def test_later_events_of_a_key_go_on_unless_they_are_to_wait() -> None:
    app = vg.App("weather")
    readings = topic(app)
    mail = Mail("a")
    app.on(readings)(mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2)])
        mail.broken.clear()
        harness.send(readings, [reading("a", 3)])

        assert mail.sent == [2, 3]


@pytest.mark.parametrize("is_async", [False, True])
def test_in_order_later_events_of_a_key_wait_until_all_are_replayed(is_async: bool) -> None:
    app = vg.App("weather")
    readings = topic(app)
    mail = Mail("a")

    async def send(event: Reading) -> None:
        mail.send(event)

    app.on(readings, in_order=True)(send if is_async else mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1), reading("b", 2), reading("a", 3)])
        mail.broken.clear()
        harness.restart()
        harness.send(readings, [reading("a", 4)])
        assert mail.sent == [2]

        harness.replay(*harness.dead_letters)
        harness.send(readings, [reading("a", 5)])
        assert mail.sent == [2, 1, 3, 4, 5]
        assert mail.calls == 6


def test_in_order_a_replay_that_fails_leaves_the_others_waiting() -> None:
    app = vg.App("weather")
    readings = topic(app)
    mail = Mail("a")
    app.on(readings, in_order=True)(mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1)])
        harness.replay(*harness.dead_letters)
        mail.broken.clear()
        harness.send(readings, [reading("a", 2)])

        assert mail.sent == []


def test_a_breaker_stops_calls_for_a_while_after_too_many_failures() -> None:
    app = vg.App("weather")
    readings = topic(app)
    mail = Mail("a")
    app.on(readings, breaker=vg.Breaker(failures=2, cool="30s"))(mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", n) for n in range(5)])
        assert mail.calls == 2
        assert len(harness.dead_letters) == 5
        assert "2 calls in a row had failed" in harness.dead_letters[-1].error

        mail.broken.clear()
        harness.advance("29s")
        harness.send(readings, [reading("a", 6)])
        assert mail.sent == []

        harness.advance("1s")
        harness.send(readings, [reading("a", 7)])
        assert mail.sent == [7]


def test_after_it_has_cooled_one_more_failure_opens_a_breaker_again() -> None:
    app = vg.App("weather")
    readings = topic(app)
    mail = Mail("a")
    app.on(readings, breaker=vg.Breaker(failures=2, cool="30s"))(mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", n) for n in range(5)])
        harness.advance("30s")
        harness.send(readings, [reading("a", n) for n in range(5)])

        assert mail.calls == 3


def test_its_own_retries_are_made_instead_of_the_applications() -> None:
    app = vg.App("weather", retry=vg.Retry(times=9))
    readings = topic(app)
    mail = Mail("a")
    app.on(readings, retry=vg.Retry(times=3, wait_s=1, max_wait_s=2))(mail.send)

    with vg.testing.Harness(app) as harness:
        harness.send(readings, [reading("a", 1)])

        assert mail.calls == 4
        assert harness.slept_s == [1, 2, 2]
        assert harness.dead_letters[0].tries == 4
