"""`vagus mirror`: topics from one hub to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vagus.cli.options import JsonOption, example
from vagus.cli.place import open_hub
from vagus.cli.terminal import listing, note, progress

if TYPE_CHECKING:
    from vagus.hub.mirror import Comparison

SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The hub to copy from: a file, or kafka://HOST.")
]
TargetArgument = Annotated[
    str, typer.Argument(metavar="TARGET", help="The hub to copy to; a file is made.")
]


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.command(
        "mirror",
        **example(
            "vagus mirror vagus.db kafka://localhost:9092 --groups --verify",
            "vagus mirror kafka://localhost:9092 copy.db --topics 'bus-*' --follow",
        ),
    )(mirror)


def mirror(
    source: SourceArgument,
    target: TargetArgument,
    topics: Annotated[
        str, typer.Option("--topics", metavar="GLOB", help="Only topics with such names.")
    ] = "*",
    groups: Annotated[
        bool,
        typer.Option(
            "--groups", help="Put groups where they are in the source.", show_default=False
        ),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Go on with what comes, until Ctrl-C.", show_default=False),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Then compare both, event by event. Exit code 1 if they differ.",
            show_default=False,
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Copy topics with their events, settings and schemas to another hub.

    Stopped at any moment, it goes on from there when it is started again.
    """
    from vagus.hub.mirror import Mirror

    if follow and verify:
        raise typer.BadParameter("--verify compares what no longer changes: say it without")
    with open_hub(source) as here, open_hub(target, create=True) as there:
        made = Mirror(here, there, pattern=topics, with_groups=groups, tell=note)
        with progress("copying") as advance:
            if follow:
                try:
                    made.follow(advance)
                except KeyboardInterrupt:
                    note("stopped; it goes on from here when it is started again")
                    return
            copied = made.copy(advance)
        note(f"copied {copied:,} events from {source} to {target}")
        if verify:
            with progress("comparing") as advance:
                found = made.verify(advance)
            _show(found, as_json=as_json)


def _show(found: list[Comparison], *, as_json: bool) -> None:
    rows = [
        {
            "topic": each.topic,
            "partition": each.partition,
            "events": each.source_count,
            "checksum": each.source_checksum,
            "copied": each.target_count,
            "checksum_of_copy": each.target_checksum,
            "same": "yes" if each.same else "NO",
        }
        for each in found
    ]
    columns = ["topic", "partition", "events", "copied", "checksum", "checksum_of_copy", "same"]
    listing(rows, columns, as_json=as_json, empty="no topics")
    different = [each for each in found if not each.same]
    if different:
        first = different[0]
        note(
            f"vagus: {len(different)} of {len(found)} partitions differ, first "
            f"{first.topic}[{first.partition}]"
        )
        raise typer.Exit(1)
