"""`vagus process`: process managers, and the cases that are stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.appfile import load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example, group
from vagus.cli.place import open_hub
from vagus.cli.terminal import listing, time_text
from vagus.errors import VagusError, nearest

if TYPE_CHECKING:
    from vagus.services import Instance, ProcessType

app = group("process", "Process managers: list the cases under way, and the stuck ones.")


@app.callback()
def _process() -> None:
    """Process managers: list the cases under way, and the stuck ones."""


@app.command(
    "list",
    **example(
        "vagus process list shop/order.py", "vagus process list shop/order.py --stuck-for 1d"
    ),
)
def list_cases(
    service: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE.py\\[:NAME]", help="The service's file; NAME if it holds several."
        ),
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="PROCESS", help="Only this one.", show_default=False),
    ] = None,
    stuck_for: Annotated[
        str | None,
        typer.Option(
            "--stuck-for",
            metavar="AGE",
            help="Only those that an error holds up, or that wait for so long without a timer.",
            show_default=False,
        ),
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List cases: since when nothing changed, the next timer, and what holds them up."""
    wanted = _wanted(service, name)
    from vagus.hub import open_registry
    from vagus.services import instances

    rows: list[dict[str, Any]] = []
    with open_hub(hub) as opened:
        known = open_registry(registry, opened)
        for process in wanted:
            found = instances(opened, known, process, stuck_for=stuck_for)
            rows += [_row(process, one) for one in found]
    listing(
        rows,
        ["process", "key", "changed_at", "next_timer", "held", "error"],
        as_json=as_json,
        empty="no cases are stuck" if stuck_for else "no cases are under way",
    )


def _wanted(service: str, name: str | None) -> list[ProcessType]:
    found: dict[str, ProcessType] = getattr(load_app(service), "processes", {})
    if name is None:
        if not found:
            raise VagusError("expected a service with process managers, got none", where=service)
        return list(found.values())
    if name not in found:
        raise VagusError(
            f"no process {name!r}",
            where=service,
            hint=nearest(name, found) or f"there is {', '.join(found) or 'none'}",
        )
    return [found[name]]


def _row(process: ProcessType, one: Instance) -> dict[str, Any]:
    return {
        "process": process.name,
        "key": one.key,
        "changed_at": _moment(one.changed_at),
        "next_timer": None if one.next_timer is None else _moment(one.next_timer),
        "held": one.held,
        "error": one.error,
    }


def _moment(moment: Any) -> str:
    return time_text(round(moment.timestamp() * 1000))
