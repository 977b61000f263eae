"""`vagus view`: views of events, and their rebuild."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vagus.cli.appfile import load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example, group
from vagus.cli.place import open_hub
from vagus.cli.terminal import listing, note, progress
from vagus.errors import VagusError

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.services.views import Queries

app = group("view", "Views of events: list, rebuild.")

ServiceFile = Annotated[
    str,
    typer.Argument(
        metavar="SERVICE.py\\[:NAME]", help="The service's file; NAME if it holds several."
    ),
]


@app.command("list", **example("vagus view list shop/orders.py"))
def list_views(
    service: ServiceFile,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the views of a service, and how they are."""
    with open_hub(hub) as opened, _queries(service, opened, registry) as queries:
        rows = []
        for view in queries.values():
            status = view.status()
            building = None
            if status.building is not None:
                building = f"{status.building[0]:,} of {status.building[1]:,}"
            state = "stopped" if status.error else "built" if status.version else "not built"
            rows.append(
                {
                    "view": view.name,
                    "state": state,
                    "version": status.version,
                    "rows": status.rows,
                    "building": building,
                    "error": status.error,
                }
            )
    listing(
        rows,
        ["view", "state", "version", "rows", "building", "error"],
        as_json=as_json,
        empty="the service has no views of events",
    )


@app.command("rebuild", **example("vagus view rebuild shop/orders.py orders"))
def rebuild(
    service: ServiceFile,
    view: Annotated[str, typer.Argument(metavar="VIEW", help="The view's name.")],
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Build a view anew, from all of its events, while the old one answers.

    Where the service is running, it is asked to do so; else it is done here.
    """
    with (
        open_hub(hub) as opened,
        _queries(service, opened, registry) as queries,
        progress(f"rebuilding {view}") as advance,
    ):
        queries.rebuild(view, advance)
        rows = queries[view].status().rows
    note(f"{view} is rebuilt: {rows:,} rows")


def _queries(service: str, hub: Hub, registry: str | None) -> Queries:
    from vagus.hub import open_registry
    from vagus.services.views import queries_of

    loaded = load_app(service)
    found = queries_of(loaded, hub, open_registry(registry, hub))
    if found is None:
        raise VagusError(
            "expected a service with views of events, got one without",
            where=service,
            hint="service.view(...) declares one",
        )
    return found
