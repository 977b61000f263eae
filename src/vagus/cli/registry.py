"""`vagus registry`: the hub's schemas, for programs that know Confluent's registry."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, example, group
from vagus.cli.place import http_address, open_hub
from vagus.cli.terminal import note
from vagus.runtime.signals import heard

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
    stopped = threading.Event()
    from vagus.serve.registry import RegistryServer

    with (
        heard(lambda _: stopped.set()),
        open_hub(hub) as opened,
        RegistryServer(opened, host=host, port=port) as server,
    ):
        note(f"serving the schemas of {hub} at {server.url}: Ctrl-C stops")
        stopped.wait()
