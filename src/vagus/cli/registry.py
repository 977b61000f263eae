"""`vagus registry`: the hub's schemas, for programs that know Confluent's registry."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, example, group
from vagus.cli.place import http_address, open_hub
from vagus.cli.terminal import note

app = group("registry", "The hub's schemas for other programs: serve.")


@app.command(
    "serve",
    **example(
        "vagus registry serve --http :8081",
        "vagus registry serve --hub kafka://broker:9092 --http 0.0.0.0:8081",
    ),
)
def serve(
    http: Annotated[
        str,
        typer.Option(
            "--http", metavar="[HOST]:PORT", help="Where; the host is this machine unless named."
        ),
    ] = ":8081",
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Serve the hub's schemas as Confluent's registry does, until Ctrl-C.

    Any client of that registry can then read what Vagus writes, and register what it writes.
    Several may be served from one hub. Whoever reaches the address may read and register: name
    another host than this machine only where that is meant.
    """
    host, port = http_address(http)
    from vagus.serve.registry import RegistryServer

    with (
        _stopped() as stopped,
        open_hub(hub) as opened,
        RegistryServer(opened, host=host, port=port) as server,
    ):
        note(f"serving the schemas of {hub} at {server.url}: Ctrl-C stops")
        stopped.wait()


@contextmanager
def _stopped() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        asked.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
