"""`vagus hub`: the hub's file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, example, group
from vagus.cli.place import open_file
from vagus.cli.terminal import listing, note, print_json, progress, size_text

app = group("hub", "The hub's file: info, check, backup.")

DAMAGED = 3


@app.command("info", **example("vagus hub info --hub ./vagus.db"))
def info(hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False) -> None:
    """Show the hub's size and what it holds."""
    with open_file(hub) as opened:
        found = asdict(opened.info())
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name.endswith("_bytes"):
            text = size_text(value)
        else:
            text = f"{value:,}" if isinstance(value, int) else value
        print(f"{name.replace('_', ' '):<14}{text}")


@app.command("check", **example("vagus hub check", "vagus hub check --json"))
def check(hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False) -> None:
    """Read every event and say what is damaged. Exit code 3 if anything is."""
    with open_file(hub) as opened, progress("checking") as advance:
        report = opened.check(advance)
    if as_json:
        print_json({**asdict(report), "ok": report.ok})
    elif report.ok:
        note(f"sound: {report.records:,} events in {report.batches:,} batches")
    else:
        for problem in report.structure:
            note(f"vagus: damaged file: {problem}")
        listing(
            [asdict(damage) for damage in report.damage],
            ["topic", "partition", "first_offset", "last_offset", "reason"],
            as_json=False,
        )
        lost = len(report.damage)
        note(f"vagus: damaged: {lost} of {report.batches} batches can't be read: restore a backup")
    if not report.ok:
        raise typer.Exit(DAMAGED)


@app.command("backup", **example("vagus hub backup /backups/vagus-monday.db"))
def backup(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file that isn't there yet.")],
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Copy the hub as it is at this moment, while others go on writing. The copy is checked."""
    with open_file(hub) as opened, progress("copying") as advance:
        opened.backup(path, advance)
    note(f"copied {hub} to {path}")
