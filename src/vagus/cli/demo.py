"""`vagus demo`: see it work on real data."""

from __future__ import annotations

from typing import Annotated

import typer

from vagus.cli.options import example, group
from vagus.errors import VagusError

app = group("demo", "See it work on real data.")


@app.callback()
def _demo() -> None:
    """See it work on real data."""


@app.command(
    "flights",
    **example(
        "vagus demo flights",
        "vagus demo flights --speed 3600",
        "vagus demo flights --hub flights.db --workers 2",
        "vagus demo flights --hub kafka://localhost:9092",
    ),
)
def flights(
    hub: Annotated[
        str | None,
        typer.Option("--hub", metavar="HUB", help="A hub to keep.", show_default="a temporary one"),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="How many seconds of 2013 pass in a second; 3600 is an hour.",
            show_default="as fast as it can",
        ),
    ] = None,
    days: Annotated[
        int | None,
        typer.Option(min=1, max=365, help="Only the first days of the year.", show_default="all"),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", "-w", min=1, help="Several are processes.", show_default="1, on Kafka 2"
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Where tables are served.", show_default="any that is free"
        ),
    ] = 0,
) -> None:
    """All 336,776 departures from New York in 2013, joined, counted in windows, watched for delays.

    On a terminal the tables are served until Ctrl-C.
    """
    if speed is not None and speed <= 0:
        raise typer.BadParameter("expected a speed above 0", param_hint="--speed")
    try:
        from vagus.demo.flights import run
    except ImportError as error:
        raise _missing(error) from error
    run(hub=hub, speed=speed, days=days, workers=workers, port=port)


@app.command(
    "shop",
    **example("vagus demo shop", "vagus demo shop --orders 5000 --hub shop.db --port 8080"),
)
def shop(
    hub: Annotated[
        str | None,
        typer.Option(
            "--hub",
            metavar="HUB",
            help="A hub to keep: a file, or kafka://HOST:PORT.",
            show_default="a temporary one",
        ),
    ] = None,
    orders: Annotated[int, typer.Option(min=3, help="How many orders are placed.")] = 1_000,
    seed: Annotated[int, typer.Option(help="What the customers do follows from it.")] = 1,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, help="Where orders are taken.", show_default="any that is free"
        ),
    ] = 0,
) -> None:
    """Six services of a shop, which talk only through events, under a load of customers.

    One is taken down for a while, and one is killed. In the end the books are checked: stock,
    payments and orders add up.
    """
    try:
        from vagus.demo.shop import run
    except ImportError as error:
        raise _missing(error) from error
    run(hub=hub, orders=orders, seed=seed, port=port)


def _missing(error: ImportError) -> VagusError:
    return VagusError(f"the demo's packages are missing: {error}", hint="pip install 'vagus[demo]'")
