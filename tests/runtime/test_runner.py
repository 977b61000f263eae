"""The runner: workers in threads and processes, signals, failures, progress."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import vagus as vg
from vagus.errors import Fenced, HubError, HubUnavailable, VagusError
from vagus.hub import Hub, connect
from vagus.runtime.runner import Runner
from vagus.runtime.worker import Worker


class Reading(vg.Event):
    sensor: str
    celsius: float


def weather(partitions: int = 4) -> vg.App:
    """An application that copies and counts."""
    app = vg.App("weather")
    readings = app.topic("reading", Reading, key="sensor", partitions=partitions)
    readings.to("copy", partitions=partitions)
    readings.group_by().agg(n=vg.count()).to_table("count")
    return app


def failing() -> vg.App:
    """An application that stops at its first event."""
    app = vg.App("failing", on_error="stop")
    readings = app.topic("reading", Reading, key="sensor")

    def fail(event: Reading) -> Reading:
        raise ValueError("it is too cold")

    readings.map_events(fail).to("copy")
    return app


def unloadable() -> vg.App:
    """An application whose file has been broken since."""
    raise VagusError("the file is gone", where="app.py:1", hint="restore it")


class Stopper:
    """Stops a runner once `until` holds; what it is told twice a second."""

    def __init__(self, until: Callable[[Runner], bool]) -> None:
        self._until = until

    def __call__(self, runner: Runner) -> None:
        if self._until(runner):
            runner.stop()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with connect(str(tmp_path / "hub.db")) as opened:
        yield opened


def send(app: vg.App, hub: Hub, count: int) -> None:
    with vg.Client(app, hub) as client:
        rows = pl.DataFrame({"sensor": [f"s{n % 50}" for n in range(count)]})
        client.send("reading", rows.with_columns(celsius=pl.int_range(pl.len()).cast(pl.Float64)))


def copied(app: vg.App, hub: Hub) -> int:
    with vg.Client(app, hub) as client:
        return client.read("copy").height


def done(count: int) -> Callable[[Runner], bool]:
    return lambda runner: runner.metrics.count("records_in", "reading") >= count


WAYS = pytest.mark.parametrize("load", [None, weather], ids=["threads", "processes"])


@WAYS
def test_each_event_is_processed_once_by_one_of_the_workers(hub, load):
    app = weather()
    send(app, hub, 5_000)
    runner = Runner(app, hub, workers=2, load=load, watch=Stopper(done(5_000)))
    assert runner.run() == 0
    assert copied(app, hub) == 5_000
    assert hub.describe_group("weather").members == ()
    assert runner.lag() == 0


@WAYS
def test_what_workers_count_reaches_the_runner(hub, load):
    app = weather()
    send(app, hub, 1_000)
    runner = Runner(app, hub, workers=2, load=load, watch=Stopper(done(1_000)))
    runner.run()
    assert runner.metrics.count("records_out", "copy") == 1_000
    assert runner.metrics.snapshot()["records_in", "reading"] == 1_000


@WAYS
def test_the_runner_is_ready_once_every_worker_is(hub, load):
    app = weather()
    seen: list[bool] = []

    def ready(runner: Runner) -> bool:
        seen.append(runner.ready())
        return seen[-1]

    runner = Runner(app, hub, workers=2, load=load, watch=Stopper(ready))
    assert runner.run() == 0
    assert seen[0] is False
    assert not runner.ready()


@pytest.mark.parametrize("load", [None, failing], ids=["threads", "processes"])
def test_a_worker_that_fails_stops_all_with_its_error(hub, load):
    app = failing()
    send(app, hub, 1)
    with pytest.raises(VagusError, match="it is too cold"):
        Runner(app, hub, workers=2, load=load).run()
    assert hub.describe_group("failing").members == ()


def test_the_error_of_a_process_keeps_its_parts_and_its_traceback(hub):
    with pytest.raises(VagusError) as raised:
        Runner(weather(), hub, workers=2, load=unloadable).run()
    error = raised.value
    assert (error.message, error.where, error.hint) == (
        "the file is gone",
        "app.py:1",
        "restore it",
    )
    assert "in unloadable" in "".join(error.__notes__)


def test_a_worker_that_is_killed_is_an_error_that_says_so(hub):
    runner = Runner(weather(), hub, workers=2, load=weather)
    killed: list[int] = []

    def kill(runner: Runner) -> None:
        if runner.ready() and not killed:
            killed.append(1)
            runner._stations[0].kill()

    runner._watch = kill
    with pytest.raises(VagusError, match=r"worker 1 died \(SIGKILL\)"):
        runner.run()


def test_a_fenced_worker_has_a_successor(hub, monkeypatch, caplog):
    app = weather()
    send(app, hub, 1_000)
    turns = iter([True])
    turn = Worker.turn

    def fenced_once(self: Worker, *, wait_s: float = 0.0) -> bool:
        if next(turns, False):
            raise Fenced("another member has taken over")
        return turn(self, wait_s=wait_s)

    monkeypatch.setattr(Worker, "turn", fenced_once)
    with caplog.at_level(logging.WARNING, logger="vagus"):
        assert Runner(app, hub, watch=Stopper(done(1_000))).run() == 0
    assert "worker 1 was replaced and joins again: another member has taken over" in caplog.text
    assert copied(app, hub) == 1_000


def test_a_worker_whose_hub_fails_while_it_works_tries_again(hub, monkeypatch, caplog):
    app = weather()
    send(app, hub, 1_000)
    commits = iter([False, True])
    commit = Worker.commit

    def unlucky_once(self: Worker) -> None:
        if next(commits, False):
            raise HubUnavailable("no answer")
        commit(self)

    monkeypatch.setattr(Worker, "commit", unlucky_once)
    with caplog.at_level(logging.WARNING, logger="vagus"):
        assert Runner(app, hub, watch=Stopper(done(1_000))).run() == 0
    assert "worker 1 tries again in 0.5 s: no answer" in caplog.text
    assert copied(app, hub) == 1_000


def test_a_hub_that_fails_before_there_was_any_work_is_an_error(hub, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise HubUnavailable("no answer")

    monkeypatch.setattr(Worker, "__init__", refuse)
    with pytest.raises(HubUnavailable):
        Runner(weather(), hub).run()


def test_restoring_is_told_and_logged(hub, caplog):
    app = weather()
    send(app, hub, 1_000)
    Runner(app, hub, watch=Stopper(done(1_000))).run()
    told: list[dict[tuple[int, str], tuple[int, int]]] = []

    def watch(runner: Runner) -> None:
        told.append(dict(runner.restoring))
        if runner.ready():
            runner.stop()

    with caplog.at_level(logging.INFO, logger="vagus"):
        Runner(app, hub, watch=watch).run()
    assert any(told)
    assert told[-1] == {}
    assert "worker 1: restored weather-" in caplog.text


def test_stopping_before_the_work_has_begun_ends_it(hub):
    runner = Runner(weather(), hub, workers=2)
    runner.stop()
    assert runner.run() == 0


def test_a_runner_works_in_any_thread(hub):
    app = weather()
    send(app, hub, 100)
    runner = Runner(app, hub, watch=Stopper(done(100)))
    ended: list[int] = []
    thread = threading.Thread(target=lambda: ended.append(runner.run()))
    thread.start()
    thread.join()
    assert ended == [0]


def test_processes_need_a_hub_in_a_file():
    with connect(":memory:") as hub, pytest.raises(HubError, match="in memory"):
        Runner(weather(), hub, workers=2, load=partial(weather))


def test_there_is_at_least_one_worker(hub):
    with pytest.raises(VagusError, match="at least one worker"):
        Runner(weather(), hub, workers=0)
