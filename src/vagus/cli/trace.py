"""`vagus trace`: what came of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example
from vagus.cli.place import open_hub, time_ms
from vagus.cli.terminal import print_json, progress, seconds_text, time_text

if TYPE_CHECKING:
    from vagus.streams.trace import Trace, Traced


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.command(
        "trace",
        **example(
            "vagus trace 1f0c9a52-3d64-4c4e-9a37-0a2b7f1c8d11",
            "vagus trace orders/0/17 --since 2h",
        ),
    )(trace)


def trace(
    event: Annotated[
        str,
        typer.Argument(metavar="EVENT_ID", help="An event's id, or TOPIC/PARTITION/OFFSET."),
    ],
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="TIME", help="Pass over older events: a time, or an age as 2h."
        ),
    ] = None,
    as_json: JsonOption = False,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Show what an event is part of: the first cause, and all that came of it, as a tree.

    Every topic is read for it; --since makes that quicker. Each line says when, what and where,
    and how much later than its cause the event is.
    """
    from vagus.hub import open_registry
    from vagus.streams.trace import trace as find

    since_ms = None if since is None else time_ms(since)
    with open_hub(hub) as opened, progress("reading headers") as advance:
        schemas = open_registry(registry, opened)
        found = find(opened, event, schemas, since_ms=since_ms, progress=advance)
    if as_json:
        print_json(
            {
                "correlation_id": found.correlation_id,
                "events": [_plain(*each) for each in found],
            }
        )
        return
    _print(found)


def _print(found: Trace) -> None:
    lasts: list[bool] = []
    for depth, event, cause in found:
        siblings = found.roots if cause is None else cause.effects
        del lasts[depth:]
        lasts.append(event is siblings[-1])
        branch = ""
        if depth:
            branch = "".join("   " if last else "│  " for last in lasts[1:-1])
            branch += "└─ " if lasts[-1] else "├─ "
        print(branch + _line(event, cause))


def _line(event: Traced, cause: Traced | None) -> str:
    place = f"{event.topic}/{event.partition}/{event.offset}"
    words = [event.type or "event", place]
    if event.failed is not None:
        words = ["dead letter", place, f"step {event.failed} failed"]
    elif cause is None:
        words.append(time_text(event.time_ms))
        if event.metadata.causation_id is not None:
            words.append(f"caused by {event.metadata.causation_id}, which is not kept")
    else:
        words.append(_delay(event.time_ms - cause.time_ms))
    return "  ".join(words)


def _delay(delay_ms: int) -> str:
    sign = "-" if delay_ms < 0 else "+"
    return sign + seconds_text(abs(delay_ms) / 1000)


def _plain(depth: int, event: Traced, cause: Traced | None) -> dict[str, Any]:
    from vagus.cli.values import plain_bytes

    return {
        "depth": depth,
        "event_id": event.metadata.event_id,
        "causation_id": event.metadata.causation_id,
        "type": event.type,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "key": plain_bytes(event.key),
        "time": time_text(event.time_ms),
        "delay_ms": None if cause is None else event.time_ms - cause.time_ms,
        "failed_step": event.failed,
    }
