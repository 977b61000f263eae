"""`vagus serve`: services behind one address."""

from __future__ import annotations

import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vagus.cli.appfile import load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, RegistryOption, example
from vagus.cli.place import http_address, open_hub
from vagus.cli.terminal import note
from vagus.runtime.signals import heard

if TYPE_CHECKING:
    from vagus.runtime.runner import Runner


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.command(
        "serve",
        **example(
            "vagus serve shop/*.py --http :8080",
            "vagus serve shop/*.py --http :8080 --processes --access access.toml",
        ),
    )(serve)
    root.command(
        "access-key",
        **example("vagus access-key shop-window --scope 'command:*' >> access.toml"),
    )(access_key)


def serve(  # noqa: PLR0913 - each is an option
    files: Annotated[
        list[str],
        typer.Argument(metavar="SERVICE.PY...", help="The services' files; FILE:NAME if several."),
    ],
    http: Annotated[
        str,
        typer.Option(
            "--http",
            metavar="[HOST]:PORT",
            help="Where to answer; the host is this machine unless named.",
        ),
    ] = ":8080",
    processes: Annotated[
        bool,
        typer.Option(
            "--processes", help="Each service in a process of its own.", show_default=False
        ),
    ] = False,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Of each service; 0 runs none here.")
    ] = 1,
    access: Annotated[
        str | None,
        typer.Option(
            "--access",
            metavar="FILE",
            help="Who may do what: API keys and an OpenID provider, in TOML.",
            show_default="everybody may do everything",
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, help="How many are answered at once; more get 429.")
    ] = 1000,
    body_bytes: Annotated[int, typer.Option(min=1, help="The largest request.")] = 1 << 20,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Log no requests but failed ones.", show_default=False)
    ] = False,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Run services, and answer for all of them at one address, until Ctrl-C.

    `POST /commands/place-order` takes commands, `GET /queries/orders` answers from views, and
    /docs shows all there is. Services that run elsewhere on the same hub are answered for with
    `--workers 0`. Each request is logged as a line of JSON.
    """
    address = http_address(http)
    apps = [load_app(file) for file in files]
    from vagus.hub import open_registry
    from vagus.hub.garbage import keep_what_is_loaded
    from vagus.runtime.runner import Runner
    from vagus.serve.access import Access
    from vagus.serve.gateway import Gateway, check_apart
    from vagus.serve.guard import Limits

    check_apart(apps)
    rules = None if access is None else Access.of_file(access)
    _log_to_stderr(quiet=quiet)
    with ExitStack() as stack:
        opened = stack.enter_context(open_hub(hub, create=True))
        runners = [
            Runner(
                app,
                opened,
                workers=workers,
                load=partial(load_app, file) if processes else None,
                registry=registry,
            )
            for app, file in zip(apps, files, strict=True)
            if workers and app.topology.sources()
        ]
        gateway = stack.enter_context(
            Gateway(
                apps,
                opened,
                registry=open_registry(registry, opened),
                workers={one.app.name: (one.metrics, one.ready) for one in runners},
                address=address,
                access=rules,
                limits=Limits(body_bytes=body_bytes, requests=requests),
            )
        )
        keep_what_is_loaded()
        names = ", ".join(app.name for app in apps)
        note(f"{gateway.url} answers for {names} on {hub} ({gateway.url}/docs): Ctrl-C stops")
        code = _run(runners)
        if code:
            sys.stderr.flush()
            os._exit(code)  # threads may be at work still; nothing is waited for


def _run(runners: Sequence[Runner]) -> int:
    """Run until a signal, or until one fails; the exit code. A second signal gives one at once."""
    notes: queue.SimpleQueue[signal.Signals | BaseException | None] = queue.SimpleQueue()

    def run(runner: Runner) -> None:
        try:
            runner.run()
        except BaseException as error:  # noqa: BLE001 - raised again below
            notes.put(error)
        else:
            notes.put(None)

    threads = [threading.Thread(target=run, args=(one,), daemon=True) for one in runners]
    failure: BaseException | None = None
    stopping = False
    open_runners = len(runners)
    with heard(notes.put):
        for thread in threads:
            thread.start()
        while open_runners or not stopping:
            found = notes.get()
            if isinstance(found, signal.Signals):
                if stopping:
                    return 128 + found
                if not runners:
                    return 0
            else:
                open_runners -= 1
                failure = failure or found
            if not stopping:
                stopping = True
                for one in runners:
                    one.stop()
    if failure is not None:
        raise failure
    return 0


def _log_to_stderr(*, quiet: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("vagus")
    log.addHandler(handler)
    log.setLevel(logging.WARNING)
    logging.getLogger("vagus.http").setLevel(logging.WARNING if quiet else logging.INFO)


def access_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: Annotated[
        list[str],
        typer.Option(
            "--scope", help="What it may do: command:NAME, query:VIEW, operation; * for all."
        ),
    ],
) -> None:
    """Make an API key. It is shown once; the lines for the access file go to the output."""
    from vagus.serve.access import new_key

    key, entry = new_key(name, scope)
    note(f"the key of {name}, which is kept nowhere: {key}")
    print(entry)
