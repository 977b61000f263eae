"""The demonstration: sends the data, does the work, shows both, and prints the answers."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from vagus.demo.flights import app as app_module
from vagus.demo.flights import report
from vagus.demo.flights.app import app
from vagus.demo.flights.progress import Display, Meter
from vagus.demo.flights.source import Pace, Source
from vagus.runtime.runner import Runner
from vagus.streams import Client
from vagus.streams.views import Views

if TYPE_CHECKING:
    from vagus.demo.flights.progress import Reading
    from vagus.streams import App

_SERVING = ("fastapi", "prometheus_client", "uvicorn")
_LOOK_S = 0.1  # between looks at how far everything is


def run(
    *,
    hub: str | None = None,
    speed: float | None = None,
    days: int | None = None,
    workers: int | None = None,
    port: int = 0,
    console: Console | None = None,
) -> None:
    """Send a year of departures through the application, and show what comes of it.

    `hub` is a hub that is kept, a file or a cluster; what it has already is not sent again. `speed`
    is how many seconds of 2013 pass in a second (3600: an hour); without it, all goes as fast as it
    can. `days` sends the first days of the year only. Several `workers` are processes; without a
    number there are two on a cluster, and elsewhere one. The tables are
    served at `port` (0: any that is free). On a terminal they stay until Ctrl-C; Ctrl-C before
    that ends with what there is. Raises VagusError if the data is not installed, or the hub can't
    be used.
    """
    _take_ctrl_c_back()
    console = console or Console(highlight=False)
    with TemporaryDirectory(prefix="vagus-flights-") as folder:
        path = hub or str(Path(folder) / "flights.db")
        workers = workers or (2 if path.startswith("kafka://") else 1)
        with Client(app, path) as client:
            _Demonstration(client, console, Pace(speed, days), workers).perform(port, kept=hub)


def _take_ctrl_c_back() -> None:
    """Have Ctrl-C reach the main thread again, as Python does it.

    Polars puts a handler of its own below Python's, which gives it to whatever thread is computing:
    a worker would fail, and the main thread never hear of it.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.getsignal(signal.SIGINT))


def _load() -> App:
    """The application, in a worker's process."""
    return app


class _Demonstration:
    def __init__(self, client: Client, console: Console, pace: Pace, workers: int) -> None:
        self._client, self._console = client, console
        with console.status("Reading the flights of 2013"):
            self._source = Source(client, pace)
            self._source.load_tables()
        self._stop = threading.Event()
        load = _load if workers > 1 else None
        self._runner = Runner(app, client.hub, workers=workers, load=load)
        inputs = [source.topic.name for source in app.topology.sources()]
        self._meter = Meter(client.hub, self._runner.metrics, app.name, inputs)

    def perform(self, port: int, *, kept: str | None) -> None:
        began_s, sent = time.monotonic(), self._source.sent
        console, source = self._console, self._source
        if sent:
            console.print(f"The hub has {sent:,} departures already; going on from there.")
        with self._served(port) as url:
            whole = self._flow(url)
            alerts = self._client.read("delay-alert").height
            views = Views(app, self._client.hub, self._client.registry)
            found = report.answers(views)
            views.close()
            console.print()
            report.show_answers(console, found, alerts)
            done = "worked through" if whole else "then interrupted"
            took_s = time.monotonic() - began_s
            console.print(f"{source.sent - sent:,} departures sent, {done}, in {took_s:.1f} s.")
            if whole and url is not None and console.is_terminal:
                self._stay(url, found)
        self._say_what_next(found, kept)

    def _flow(self, url: str | None) -> bool:
        """Send and work until all is done, or until Ctrl-C; whether all was done."""
        with ThreadPoolExecutor(2) as pool, Display(self._console, self._source, url) as display:
            working = pool.submit(self._runner.run)
            sending = pool.submit(self._source.run, self._stop)
            try:
                self._watch(sending, working, display)
                return True
            except KeyboardInterrupt:
                return False
            finally:
                self._stop.set()
                self._runner.stop()

    def _watch(self, sending: Future[None], working: Future[int], display: Display) -> None:
        while True:
            sent = sending.done()
            reading: Reading = self._meter.read()
            display.show(reading)
            if working.done():
                working.result()
            if sent:
                sending.result()
                if not reading.lag:
                    return
            time.sleep(_LOOK_S)

    @contextmanager
    def _served(self, port: int) -> Iterator[str | None]:
        """Serve the tables, and say where; without the extra for it, say so."""
        if not all(find_spec(needed) for needed in _SERVING):
            self._console.print("pip install 'vagus\\[serve]' to ask the tables over HTTP.")
            yield None
            return
        from vagus.serve import Server

        hub, runner = self._client.hub, self._runner
        server = Server(app, hub, metrics=runner.metrics, ready=runner.ready, port=port)
        server.start(registry=self._client.registry)
        try:
            yield server.url
        finally:
            server.stop()

    def _say_what_next(self, found: report.Answers, kept: str | None) -> None:
        """Commands for later, when nothing is served any more."""
        file = kept or "flights.db"
        lines = [] if kept else [f"vagus demo flights --hub {file}   # the same, and keeps the hub"]
        lines += [
            f"vagus consume delay-alert --hub {file} --limit 10",
            f"vagus topic list --hub {file}",
            f"vagus run {_app_file()} --hub {file} --http :8080 &",
            *report.queries("http://localhost:8080", found),
        ]
        self._list("What to try next:", lines)

    def _stay(self, url: str, found: report.Answers) -> None:
        """Serve the tables until Ctrl-C."""
        lines = [*report.queries(url, found), f"curl '{url}/metrics'"]
        self._list(f"The tables are served at {url} (in a browser: {url}/docs). Ask them:", lines)
        with suppress(KeyboardInterrupt):
            self._console.print("\nCtrl-C ends it.")
            threading.Event().wait()

    def _list(self, title: str, lines: list[str]) -> None:
        self._console.print(f"\n[bold]{title}[/]")
        for line in lines:  # each as it is, to be copied
            self._console.print(f"  {line}", soft_wrap=True, markup=False, highlight=False)


def _app_file() -> str:
    file = Path(app_module.__file__)
    here = Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
