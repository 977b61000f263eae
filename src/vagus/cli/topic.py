"""`vagus topic`: the topics of a hub."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, YesOption, example, group
from vagus.cli.place import open_hub
from vagus.cli.terminal import ask, listing, note, print_json, seconds_text, size_text
from vagus.errors import VagusError

if TYPE_CHECKING:
    from vagus.hub import TopicConfig, TopicInfo

app = group("topic", "Topics: list, create, describe, alter, delete.")

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

TopicArgument = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.")]
Cleanup = Annotated[
    str | None,
    typer.Option(
        "--cleanup",
        metavar="delete|compact|compact,delete",
        help="What may be removed: old events, superseded events of a key, or both.",
    ),
]
Retention = Annotated[
    str | None,
    typer.Option(
        "--retention", metavar="AGE", help="How long events are kept, such as 7d, or 'forever'."
    ),
]
RetentionBytes = Annotated[
    str | None,
    typer.Option(
        "--retention-bytes",
        metavar="SIZE",
        help="How much of a partition is kept, such as 500M, or 'forever'.",
    ),
]
TombstoneRetention = Annotated[
    str | None,
    typer.Option(
        "--tombstone-retention",
        metavar="AGE",
        help="How long a deletion stays readable in a compacted topic.",
    ),
]


@app.command("list", **example("vagus topic list", "vagus topic list --json"))
def list_topics(hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False) -> None:
    """List the topics."""
    with open_hub(hub) as opened:
        rows = [_row(opened.describe_topic(name)) for name in opened.topics()]
    listing(
        rows,
        ["topic", "partitions", "events", "bytes", "cleanup", "retention_s"],
        as_json=as_json,
        shown={"bytes": size_text, "retention_s": seconds_text},
        empty="no topics yet",
    )


@app.command(
    "create",
    **example(
        "vagus topic create bus-position --partitions 4 --retention 7d",
        "vagus topic create driver --cleanup compact",
    ),
)
def create(
    name: TopicArgument,
    partitions: Annotated[int, typer.Option(help="Into how many partitions it is cut.")] = 1,
    cleanup: Cleanup = None,
    retention: Retention = None,
    retention_bytes: RetentionBytes = None,
    tombstone_retention: TombstoneRetention = None,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Create a topic. Events are kept for ever unless a retention is given."""
    from vagus.hub import TopicConfig

    config = _changed(
        TopicConfig(partitions=partitions), cleanup, retention, retention_bytes, tombstone_retention
    )
    with open_hub(hub, create=True) as opened:
        opened.create_topic(name, config)
    note(f"created topic {name} with {_counted(config.partitions)}")


@app.command("describe", **example("vagus topic describe bus-position"))
def describe(
    name: TopicArgument, hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False
) -> None:
    """Show how a topic is kept, and the extent of each partition."""
    with open_hub(hub) as opened:
        info = opened.describe_topic(name)
    rows = [
        {
            "partition": part.partition,
            "start_offset": part.start_offset,
            "end_offset": part.end_offset,
            "bytes": part.nbytes,
        }
        for part in info.partitions
    ]
    if as_json:
        print_json({**_row(info), "partitions": rows})
        return
    kept = "for ever" if info.config.retention_s is None else seconds_text(info.config.retention_s)
    if info.config.retention_bytes is not None:
        kept += f", up to {size_text(info.config.retention_bytes)} a partition"
    print(f"topic    {info.name}\ncleanup  {info.config.cleanup}\nkept     {kept}\n")
    listing(
        rows,
        ["partition", "start_offset", "end_offset", "bytes"],
        as_json=False,
        shown={"bytes": size_text},
    )


@app.command(
    "alter",
    **example(
        "vagus topic alter bus-position --retention 30d",
        "vagus topic alter bus-position --partitions 8 --force",
    ),
)
def alter(  # noqa: PLR0913 - a command has as many options as it needs
    name: TopicArgument,
    partitions: Annotated[int | None, typer.Option(help="More than there are.")] = None,
    cleanup: Cleanup = None,
    retention: Retention = None,
    retention_bytes: RetentionBytes = None,
    tombstone_retention: TombstoneRetention = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Add partitions though events have keys: a key's later events may then be in "
            "another partition than its earlier ones.",
            show_default=False,
        ),
    ] = False,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Change how a topic is kept; what isn't named stays as it is."""
    with open_hub(hub) as opened:
        config = opened.describe_topic(name).config
        if partitions is not None:
            config = replace(config, partitions=partitions)
        config = _changed(config, cleanup, retention, retention_bytes, tombstone_retention)
        opened.alter_topic(name, config, force=force)
    note(f"altered topic {name}")


@app.command("delete", **example("vagus topic delete bus-position --yes"))
def delete(
    names: Annotated[list[str], typer.Argument(metavar="TOPIC...", help="Topics to delete.")],
    yes: YesOption = False,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Delete topics with all their events."""
    with open_hub(hub) as opened:
        events = sum(_row(opened.describe_topic(name))["events"] for name in names)
        ask(f"Delete {', '.join(names)} with {events:,} events?", yes=yes)
        for name in names:
            opened.delete_topic(name)
            note(f"deleted topic {name}")


def _counted(partitions: int) -> str:
    return f"{partitions} partition{'s' if partitions != 1 else ''}"


def _nbytes(info: TopicInfo) -> int | None:
    sizes = [part.nbytes for part in info.partitions if part.nbytes is not None]
    return sum(sizes) if len(sizes) == len(info.partitions) else None


def _row(info: TopicInfo) -> dict[str, Any]:
    return {
        "topic": info.name,
        "partitions": len(info.partitions),
        "events": sum(part.end_offset - part.start_offset for part in info.partitions),
        "bytes": _nbytes(info),
        "cleanup": info.config.cleanup,
        "retention_s": info.config.retention_s,
        "retention_bytes": info.config.retention_bytes,
        "tombstone_retention_s": info.config.tombstone_retention_s,
    }


def _changed(
    config: TopicConfig,
    cleanup: str | None,
    retention: str | None,
    retention_bytes: str | None,
    tombstone_retention: str | None,
) -> TopicConfig:
    if cleanup is not None:
        config = replace(config, cleanup=cleanup)  # type: ignore[arg-type]  # the hub checks it
    if retention is not None:
        config = replace(config, retention_s=None if retention == "forever" else _age_s(retention))
    if retention_bytes is not None:
        size = None if retention_bytes == "forever" else _size(retention_bytes)
        config = replace(config, retention_bytes=size)
    if tombstone_retention is not None:
        config = replace(config, tombstone_retention_s=_age_s(tombstone_retention))
    return config


def _age_s(text: str) -> float:
    from vagus.streams.duration import duration_ms

    return duration_ms(text) / 1000


def _size(text: str) -> int:
    found = re.fullmatch(r"(\d+)\s*([kmgt]?)(i?b)?", text.lower())
    if not found:
        raise VagusError(
            f"expected a size such as 500M or 2G, got {text!r}", where="--retention-bytes"
        )
    return int(found[1]) * _UNITS[found[2]]
