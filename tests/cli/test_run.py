"""`vagus run`, as people run it: a process, signals, exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import polars as pl
import pytest

import vagus as vg
from vagus.cli.appfile import load_app
from vagus.hub import Records, TopicPartition

WAIT_S = 100.0

APP = """
import vagus as vg

class Reading(vg.Event):
    sensor: str
    celsius: float

app = vg.App("{name}")
readings = app.topic("reading", Reading, key="sensor", partitions=4)
readings.to("copy", partitions=4)
readings.group_by().agg(n=vg.count()).to_table("count")

if __name__ == "__main__":
    app.run("vagus.db", workers=2)
"""

SLOW = """
import time
import vagus as vg

class Reading(vg.Event):
    sensor: str
    celsius: float

app = vg.App("slow")
readings = app.topic("reading", Reading, key="sensor")

@app.on(readings)
def wait(event: Reading) -> None:
    print("waiting", flush=True)
    time.sleep(600)
"""


class Running:
    """A command that runs, and what it says on standard error."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._said: list[str] = []
        self._heard = threading.Condition()
        self._threads = [
            threading.Thread(target=self._listen, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, stream) -> None:
        with stream:
            for line in stream:
                with self._heard:
                    self._said.append(line)
                    self._heard.notify_all()

    @property
    def said(self) -> str:
        return "".join(self._said)

    def until_said(self, pattern: str) -> re.Match[str]:
        with self._heard:
            assert self._heard.wait_for(lambda: re.search(pattern, self.said), WAIT_S), self.said
            found = re.search(pattern, self.said)
            assert found is not None
            return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        code = self.process.wait(WAIT_S)
        for thread in self._threads:
            thread.join(WAIT_S)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.ended()


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def begin(*words: str, python: bool = False) -> Running:
        command = [sys.executable, *([] if python else ["-m", "vagus.cli"]), *words]
        started.append(Running(folder, *command))
        return started[-1]

    yield begin
    for running in started:
        running.close()


@pytest.fixture
def app(folder: Path) -> vg.App:
    (folder / "run_weather.py").write_text(APP.format(name="weather"))
    return load_app("run_weather.py")


def wait_for(what: Callable[[], bool]) -> None:
    """Wait for a condition that other processes bring about."""
    deadline = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def size(client: vg.Client, topic: str) -> int:
    """How many events a topic has had."""
    if topic not in client.hub.topics():
        return 0
    return sum(part.end_offset for part in client.hub.describe_topic(topic).partitions)


def some(count: int, begin: int = 0) -> pl.DataFrame:
    return pl.DataFrame({"celsius": range(begin, begin + count)}).select(
        sensor=pl.format("s{}", pl.col("celsius") % 50), celsius=pl.col("celsius").cast(pl.Float64)
    )


WAYS = pytest.mark.parametrize(
    "ways", [["--workers", "2"], ["--workers", "2", "--threads"], []], ids=" ".join
)


@WAYS
def test_sigterm_under_load_loses_and_repeats_nothing(app, start, ways: list[str]):
    with vg.Client(app, "vagus.db") as client:
        count = 0
        for _ in range(2):  # the second run goes on where the first one stopped
            running = start("run", "run_weather.py", *ways)
            before = size(client, "copy")
            while size(client, "copy") < before + 5_000:
                assert running.process.poll() is None, running.said
                client.send("reading", some(1_000, count))
                count += 1_000
                time.sleep(0.02)
            client.send("reading", some(20_000, count))
            count += 20_000
            running.signal(signal.SIGTERM)
            assert running.ended() == 0, running.said
            assert client.hub.describe_group("weather").members == ()
        running = start("run", "run_weather.py", *ways)
        # The second run may have left nothing to do: this one must have begun to hear signals.
        wait_for(lambda: len(client.hub.describe_group("weather").members) > 0)
        wait_for(lambda: size(client, "copy") >= count)
        running.signal(signal.SIGINT)
        assert running.ended() == 0, running.said
        assert client.read("copy")["celsius"].sort().to_list() == [float(n) for n in range(count)]
        counts = client.read("count").unique("_key", keep="last", maintain_order=True)
        assert counts["n"].sum() == count


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("ways", [["--workers", "2"], []], ids=["processes", "thread"])
def test_a_second_signal_stops_at_once(start, folder: Path, ways, number: int, code: int):
    (folder / "run_slow.py").write_text(SLOW)
    slow = load_app("run_slow.py")
    with vg.Client(slow, "vagus.db") as client:
        client.send("reading", some(1))
    running = start("run", "run_slow.py", *ways)
    running.until_said("waiting")
    running.signal(number)
    running.until_said("a second one stops at once")
    assert running.process.poll() is None
    running.signal(number)
    assert running.ended() == code


def test_a_worker_outlives_its_runner_by_no_more_than_a_turn(app, start):
    with vg.Client(app, "vagus.db") as client:
        running = start("run", "run_weather.py", "--workers", "2")
        wait_for(lambda: "weather" in client.hub.groups())
        wait_for(lambda: len(client.hub.describe_group("weather").members) == 2)
        running.process.kill()
        wait_for(lambda: not client.hub.describe_group("weather").members)


def test_python_runs_the_file_itself(app, start):
    with vg.Client(app, "vagus.db") as client:
        client.send("reading", some(500))
        running = start("run_weather.py", python=True)
        wait_for(lambda: size(client, "copy") == 500)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0, running.said


def test_tables_health_and_metrics_of_all_workers_are_served(app, start):
    with vg.Client(app, "vagus.db") as client:
        client.send("reading", some(1_000))
    running = start("run", "run_weather.py", "--workers", "2", "--http", ":0")
    url = running.until_said(r"(http://\S+)/views")[1]

    def get(path: str) -> bytes:
        try:
            with urlopen(url + path) as answer:
                return answer.read()
        except HTTPError as error:
            if error.code == 404:  # the row has yet to come
                return b"{}"
            raise AssertionError(f"{path}: {error.read().decode()}\n{running.said}") from error

    wait_for(lambda: b'vagus_records_in_total{topic="reading"} 1000.0' in get("/metrics"))
    wait_for(lambda: json.loads(get("/views/count/s7")).get("n") == 20)
    wait_for(lambda: json.loads(get("/health/live"))["live"])
    running.signal(signal.SIGTERM)
    assert running.ended() == 0, running.said


def test_what_is_restored_is_told(app, start):
    with vg.Client(app, "vagus.db") as client:
        client.send("reading", some(1_000))
        first = start("run", "run_weather.py")
        wait_for(lambda: size(client, "copy") == 1_000)
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
    second = start("run", "run_weather.py")
    second.until_said(r"restored weather-\S+ \(\d+ offsets\)")
    second.signal(signal.SIGTERM)
    assert second.ended() == 0


def test_an_application_that_fails_is_one_line_and_exit_code_1(start, folder: Path):
    text = APP.format(name="weather").replace('"weather"', '"weather", on_error="stop"')
    failing = (
        "def fail(event: Reading) -> Reading:\n    raise ValueError('too cold')\n\n"
        "readings.map_events(fail).to('warm')\n"
    )
    (folder / "run_fails.py").write_text(text.split("if __name__")[0] + failing)
    with vg.Client(load_app("run_fails.py"), "vagus.db") as client:
        client.send("reading", some(10))
    running = start("run", "run_fails.py", "--workers", "2")
    assert running.ended() == 1
    errors = [line for line in running.said.splitlines() if line.startswith("vagus:")]
    assert len(errors) == 1
    assert "too cold" in errors[0]
    assert "Traceback" not in running.said


def test_a_changed_step_is_refused_with_what_to_do(app, start, folder: Path):
    with vg.Client(app, "vagus.db") as client:
        client.send("reading", some(10))
        first = start("run", "run_weather.py")
        wait_for(lambda: size(client, "copy") == 10)
        first.signal(signal.SIGTERM)
        assert first.ended() == 0
    changed = (folder / "run_weather.py").read_text().replace("vg.count()", 'vg.sum("celsius")')
    (folder / "run_changed.py").write_text(changed)
    second = start("run", "run_changed.py")
    assert second.ended() == 1
    assert "another name" in second.said


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:99999"])
def test_a_wrong_address_is_wrong_usage(vagus, app, address: str):
    assert "[HOST]:PORT" in vagus("run", "run_weather.py", "--http", address, code=2).err


def test_a_port_in_use_is_one_line(vagus, app):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = vagus("run", "run_weather.py", "--http", f":{port}", code=1).err
    assert "in use" in told


def test_a_broken_event_does_not_stop_the_rest(app, start, vagus):
    with vg.Client(app, "vagus.db") as client:
        client.send("reading", some(10))
        client.hub.append([(TopicPartition("reading", 0), Records.of([b"x"], [b"junk"], [1]))])
        client.send("reading", some(10))
        running = start("run", "run_weather.py")
        wait_for(lambda: size(client, "copy") == 20)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
    assert len(vagus("dead-letters", "list", "weather", "--json").json) == 1


def test_a_worker_that_hung_joins_again_and_repeats_nothing(start, folder: Path):
    short = "app.policy = replace(app.policy, session_timeout_s=2.0)\n"
    text = APP.format(name="weather").split("if __name__")[0]
    (folder / "run_short.py").write_text("from dataclasses import replace\n" + text + short)
    with vg.Client(load_app("run_short.py"), "vagus.db") as client:

        def members() -> int:
            return len(client.hub.describe_group("weather").members)

        client.send("reading", some(1_000))
        hung, other = start("run", "run_short.py"), start("run", "run_short.py")
        wait_for(lambda: "weather" in client.hub.groups() and members() == 2)
        with client.hub.storage.writing():  # who hung in a commit would keep all from writing
            hung.signal(signal.SIGSTOP)
            os.waitpid(hung.process.pid, os.WUNTRACED)
        wait_for(lambda: members() == 1)
        client.send("reading", some(1_000, 1_000))
        wait_for(lambda: size(client, "copy") == 2_000)
        hung.signal(signal.SIGCONT)
        hung.until_said("was replaced and joins again")
        wait_for(lambda: members() == 2)
        client.send("reading", some(1_000, 2_000))
        wait_for(lambda: size(client, "copy") >= 3_000)
        for running in (hung, other):
            running.signal(signal.SIGTERM)
            assert running.ended() == 0, running.said
        copies = client.read("copy")["celsius"].sort().to_list()
        assert copies == [float(n) for n in range(3_000)]
