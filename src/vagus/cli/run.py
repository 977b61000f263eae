"""`vagus run` and `vagus describe`: applications."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vagus.cli.appfile import load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, RegistryOption, example
from vagus.cli.place import http_address, open_hub
from vagus.cli.terminal import note

if TYPE_CHECKING:
    from vagus.runtime.runner import Runner

AppFile = Annotated[
    str,
    typer.Argument(
        metavar="APP.py\\[:NAME]", help="The application's file; NAME if it holds several."
    ),
]


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.command(
        "run", **example("vagus run fleet.py", "vagus run fleet.py --workers 4 --http :8080")
    )(run)
    root.command(
        "describe",
        **example("vagus describe fleet.py", "vagus describe fleet.py --mermaid > fleet.mmd"),
    )(describe)


def run(
    application: AppFile,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, help="How many work side by side.")
    ] = 1,
    threads: Annotated[
        bool,
        typer.Option(
            "--threads",
            help="Workers are threads of one process, not processes.",
            show_default=False,
        ),
    ] = False,
    http: Annotated[
        str | None,
        typer.Option(
            "--http",
            metavar="[HOST]:PORT",
            help="Serve tables, health and metrics; the host is this machine unless named.",
            show_default=False,
        ),
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Run an application until Ctrl-C.

    Ctrl-C or SIGTERM finishes the commit and leaves the group; a second one stops at once. More
    workers can be started at any time, here or in another terminal: they share the partitions.
    """
    address = None if http is None else http_address(http)
    app = load_app(application)
    from vagus.hub import open_registry
    from vagus.runtime.runner import Runner

    load = partial(load_app, application) if workers > 1 and not threads else None
    with ExitStack() as stack:
        opened = stack.enter_context(open_hub(hub, create=True))
        status = stack.enter_context(_status())
        runner = Runner(
            app, opened, workers=workers, load=load, watch=status.show, registry=registry
        )
        if address is not None:
            from vagus.runtime.provision import provision
            from vagus.serve import Server

            provision(opened, app.name, app.topology)  # the topics that the views read
            server = Server(
                app,
                opened,
                metrics=runner.metrics,
                ready=runner.ready,
                host=address[0],
                port=address[1],
            )
            stack.callback(server.stop)
            server.start(registry=open_registry(registry, opened))
            note(f"{server.url}/views")
        else:
            from vagus.services.views import following
            from vagus.streams.views import showing

            schemas = open_registry(registry, opened)
            stack.enter_context(showing(app, opened, schemas))
            stack.enter_context(following(app, opened, schemas))
        note(f"running {app.name} on {hub}: Ctrl-C stops")
        code = runner.run()
        if code:
            status.hide()
            sys.stderr.flush()
            os._exit(code)  # threads may be at work still; nothing is waited for


def describe(
    application: AppFile,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="As a Mermaid flowchart.", show_default=False)
    ] = False,
) -> None:
    """Show what an application reads, does and writes. Nothing is run, no hub is needed."""
    description = load_app(application).describe()
    print(description.mermaid() if mermaid else description)


@contextmanager
def _status() -> Iterator[_Status]:
    status = _Status()
    log = logging.getLogger("vagus")
    handler = _Log(status)
    log.addHandler(handler)
    before, log.propagate = log.propagate, False
    log.setLevel(logging.INFO)
    try:
        yield status
    finally:
        status.hide()
        log.removeHandler(handler)
        log.propagate = before


class _Log(logging.Handler):
    """The log, above the status line."""

    def __init__(self, status: _Status) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._status = status

    def emit(self, record: logging.LogRecord) -> None:
        self._status.say(self.format(record))


class _Status:
    """A line at the foot of a terminal that says how things are; elsewhere nothing."""

    def __init__(self) -> None:
        from rich.live import Live

        from vagus.cli.terminal import console

        self._console = console(error=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._drawn = self._console.is_terminal
        self._before: dict[str, int] = {}

    def show(self, runner: Runner) -> None:
        """Called twice a second."""
        if not self._drawn:
            return
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._line(runner), refresh=True)

    def _line(self, runner: Runner) -> str:
        if runner.restoring:
            done = sum(each for each, _ in runner.restoring.values())
            total = sum(each for _, each in runner.restoring.values())
            names = ", ".join(sorted({what for _, what in runner.restoring}))
            filled = 30 * done // max(1, total)
            return f"restoring {'━' * filled}{'╌' * (30 - filled)} {done:,}/{total:,} {names}"
        counts = {name: runner.metrics.count(f"records_{name}") for name in ("in", "out")}
        rates = {name: 2 * (each - self._before.get(name, each)) for name, each in counts.items()}
        self._before = counts
        parts = [f"{name} {counts[name]:,} ({rates[name]:,}/s)" for name in counts]
        dead = runner.metrics.count("dead_letters")
        parts += [f"lag {runner.lag():,}"] + ([f"dead letters {dead:,}"] if dead else [])
        state = "" if runner.ready() else "  starting or stopping"
        return "   ".join(parts) + state

    def say(self, text: str) -> None:
        """Print a line above."""
        if self._drawn:
            self._console.print(text, markup=False)
        else:
            note(text)

    def hide(self) -> None:
        """Take the line away."""
        self._live.stop()
