"""`vagus group`: consumer groups, and how far they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, YesOption, example, group
from vagus.cli.place import offsets_of, open_hub, partitions_of
from vagus.cli.terminal import ask, listing, note, print_json
from vagus.errors import UnknownTopic

if TYPE_CHECKING:
    from vagus.hub import GroupInfo

app = group("group", "Consumer groups: list, describe, reset.")

GroupArgument = Annotated[
    str, typer.Argument(metavar="GROUP", help="The group's name; an application's is its own.")
]


@app.command("list", **example("vagus group list"))
def list_groups(hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False) -> None:
    """List the groups, with their lag: how many events each has yet to read."""
    with open_hub(hub) as opened:
        rows = [_row(opened.describe_group(name)) for name in opened.groups()]
    listing(rows, ["group", "members", "topics", "lag"], as_json=as_json, empty="no groups yet")


@app.command("describe", **example("vagus group describe fleet"))
def describe(
    name: GroupArgument, hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False
) -> None:
    """Show a group's position and lag in each partition, and which member reads it."""
    with open_hub(hub) as opened:
        info = opened.describe_group(name)
    owners = {tp: member.member_id for member in info.members for tp in member.assignment}
    rows = [
        {
            "topic": tp.topic,
            "partition": tp.partition,
            "position": info.positions.get(tp),
            "end": info.ends.get(tp),
            "lag": info.lag.get(tp),
            "member": owners.get(tp),
        }
        for tp in sorted({*info.positions, *owners})
    ]
    if as_json:
        print_json({**_row(info), "generation": info.generation, "partitions": rows})
        return
    listing(
        rows,
        ["topic", "partition", "position", "end", "lag", "member"],
        as_json=False,
        empty="the group has read nothing yet",
    )


@app.command(
    "reset",
    **example(
        "vagus group reset fleet --to earliest",
        "vagus group reset fleet --topic bus-position --to 2026-01-31T12:00",
    ),
)
def reset(
    name: GroupArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="PLACE", help="earliest, latest, an offset, a time, or an age as 10m."
        ),
    ],
    topic: Annotated[
        str | None, typer.Option("--topic", help="Only in this topic.", show_default=False)
    ] = None,
    partition: Annotated[
        int | None, typer.Option("--partition", help="Only this partition.", show_default=False)
    ] = None,
    yes: YesOption = False,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Move a group's positions. The group must have no members: stop what reads first.

    An application's own state stays as it is: replayed events are counted again.
    """
    with open_hub(hub) as opened:
        info = opened.describe_group(name)
        known = {tp.topic for tp in info.positions}
        if topic is not None and topic not in opened.topics():
            raise UnknownTopic(topic, opened.topics())
        topics = sorted(known) if topic is None else [topic]
        wanted = [
            tp
            for each in topics
            for tp in partitions_of(opened, each, partition)
            if topic is not None or tp in info.positions
        ]
        positions = offsets_of(opened, wanted, to)
        moved = {tp: at for tp, at in positions.items() if info.positions.get(tp) != at}
        if not moved:
            note(f"nothing to do: {name} is there already")
            return
        ask(f"Move {name} to {to} in {len(moved)} partitions?", yes=yes)
        opened.reset_group(name, moved)
    for tp, at in sorted(moved.items()):
        note(f"{tp.topic}[{tp.partition}]: {info.positions.get(tp, '-')} -> {at}")


def _row(info: GroupInfo) -> dict[str, Any]:
    return {
        "group": info.name,
        "members": len(info.members),
        "topics": ", ".join(sorted({tp.topic for tp in info.positions})),
        "lag": sum(info.lag.values()),
    }
