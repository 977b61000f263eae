"""A running application: a worker in a thread, a hub in a file, a server on a free port."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self
from uuid import UUID

import httpx
import pytest
from pydantic import Field

import vagus as vg
from vagus.runtime.runner import Runner
from vagus.serve import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vagus.streams import App, Client

DEADLINE_S = 60.0
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Reading(vg.Event):
    sensor: str
    celsius: float
    at: datetime


class Driver(vg.Event):
    driver_id: int
    name: str


class Parcel(vg.Event):
    code: UUID
    price: Annotated[Decimal, Field(max_digits=10, decimal_places=2)]
    seal: bytes
    tags: dict[str, int]
    due: datetime | None
    takes: timedelta
    weight: float


class Blob(vg.Event):
    digest: bytes
    size: int


def weather() -> App:
    """Tables of each kind: declared and computed, with and without windows, of all key types."""
    app = vg.App("weather")
    readings = app.topic("reading", Reading, key="sensor", time="at", partitions=2)
    readings.group_by().agg(readings=vg.count()).to_table("sensor-count", partitions=2)
    readings.window(vg.tumbling("1h", grace="10d")).agg(
        warmest=vg.max("celsius"), readings=vg.count()
    ).to_table("sensor-hour", partitions=2)
    app.table("driver", Driver, key="driver_id")
    app.table("parcel", Parcel, key="code")
    app.table("blob", Blob, key="digest")
    return app


class Running:
    """An application at work, and a client of its server."""

    def __init__(self, app: App, folder: Path, *, worker: bool = True) -> None:
        self.app = app
        self._stack = ExitStack()
        self.hub = self._stack.enter_context(vg.connect(str(folder / "vagus.db")))
        self.runner = Runner(app, self.hub)
        self.server = Server(
            app, self.hub, metrics=self.runner.metrics, ready=self.runner.ready, port=0
        )
        self.client: Client = vg.Client(app, self.hub)
        self._worker = threading.Thread(target=self._work) if worker else None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.push(self._stack)
            stack.enter_context(self.server)
            self.http = stack.enter_context(
                httpx.Client(base_url=self.server.url, timeout=DEADLINE_S)
            )
            if self._worker is not None:
                self._worker.start()
                stack.callback(self._worker.join)
                stack.callback(self.runner.stop)
                self.until(lambda: self.get("/health/ready").status_code == 200)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        assert self._failure is None

    def _work(self) -> None:
        try:
            self.runner.run()
        except BaseException as error:  # noqa: BLE001 - shown to whoever waits for what this thread was to do
            self._failure = error

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(path, params=params or None)

    def send(self, topic: str, *events: vg.Event) -> None:
        self.client.send(topic, list(events))

    def until(self, condition: Callable[[], bool]) -> None:
        def done() -> bool:
            if self._failure is not None:
                raise self._failure
            return condition()

        wait_until(done)

    def rows(self, view: str, **params: Any) -> list[dict[str, Any]]:
        answer = self.get(f"/views/{view}", **params)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["rows"]
        return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Look again and again, until it is so."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "this should have come true by now"
        threading.Event().wait(0.01)


def reading(sensor: str, minutes: float = 0, celsius: float = 20.0) -> Reading:
    return Reading(sensor=sensor, celsius=celsius, at=NOON + timedelta(minutes=minutes))


def parcel(code: UUID) -> Parcel:
    return Parcel(
        code=code,
        price=Decimal("12.50"),
        seal=b"\xff\xfe\xfd",
        tags={"fragile": 1},
        due=NOON,
        takes=timedelta(minutes=90),
        weight=float("inf"),
    )


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(weather(), tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """An application with events in all of its tables, which tests only look at."""
    with Running(weather(), tmp_path_factory.mktemp("filled")) as running:
        running.send(
            "reading", *(reading(f"{'ab'[i % 2]}-{i % 5}", 13 * i, 20 + i) for i in range(40))
        )
        running.send("driver", *(Driver(driver_id=n, name=f"driver {n}") for n in (2, 10, -1)))
        running.send("parcel", parcel(UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")))
        running.send("blob", Blob(digest=b"\xff\xef/a", size=1), Blob(digest=b"b", size=2))
        running.until(
            lambda: sum(row["readings"] for row in running.rows("sensor-hour", limit=1000)) == 40
        )
        running.until(lambda: len(running.rows("sensor-count")) == 10)
        running.until(lambda: len(running.rows("driver")) == 3)
        running.until(lambda: len(running.rows("parcel")) == 1)
        running.until(lambda: len(running.rows("blob")) == 2)
        yield running
