"""From what people write to hubs, and to places in topics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from vagus.errors import HubError, UnknownTopic, VagusError

if TYPE_CHECKING:
    from vagus.hub import Hub, TopicPartition
    from vagus.hub.local.hub import LocalHub


def open_hub(url: str, *, create: bool = False) -> Hub:
    """The hub at `url`. Unless `create`, raises HubError where there is none.

    A mistyped path is not to leave an empty hub behind.
    """
    from vagus.hub import connect

    if not create and "://" not in url and not Path(url).exists():
        raise HubError(
            f"no hub at {url}",
            hint="name it with --hub or VAGUS_HUB; `vagus topic create`, `produce` and `run` make "
            "a new one",
        )
    return connect(url)


def http_address(text: str) -> tuple[str, int]:
    """The host and port of `[HOST]:PORT`; the host is this machine unless named."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter(f"expected [HOST]:PORT, got {text!r}", param_hint="--http")
    return host.strip("[]") or "127.0.0.1", int(port)


def open_file(url: str) -> LocalHub:
    """The embedded hub at `url`, for what only it has. Raises HubError for another."""
    if "://" in url:
        raise HubError(
            "expected the file of an embedded hub",
            where=url,
            hint="a cluster has tools of its own for this",
        )
    return cast("LocalHub", open_hub(url))


def partitions_of(hub: Hub, topic: str, only: int | None = None) -> list[TopicPartition]:
    """The partitions of a topic, or one of them. Raises UnknownTopic."""
    from vagus.hub import TopicPartition

    numbers = [part.partition for part in hub.describe_topic(topic).partitions]
    if only is not None and only not in numbers:
        raise UnknownTopic(f"{topic}[{only}]", [f"{topic}[{number}]" for number in numbers])
    return [TopicPartition(topic, number) for number in numbers if only in (None, number)]


def offsets_of(
    hub: Hub, partitions: Iterable[TopicPartition], place: str
) -> dict[TopicPartition, int]:
    """The offset of a place in each partition: earliest, latest, an offset, a time or an age.

    An offset out of what is kept becomes the nearest one that is.
    """
    wanted = list(partitions)
    if place in ("earliest", "latest"):
        return hub.offsets(wanted, "earliest" if place == "earliest" else "latest")
    if place.isdecimal():
        starts, ends = hub.offsets(wanted, "earliest"), hub.offsets(wanted, "latest")
        return {tp: min(max(int(place), starts[tp]), ends[tp]) for tp in wanted}
    return hub.offsets(wanted, time_ms(place))


def time_ms(text: str) -> int:
    """A moment in milliseconds since 1970: ISO 8601 (UTC if it names no zone), or an age."""
    from vagus.streams.duration import duration_ms

    with suppress(VagusError):
        return int(time.time() * 1000) - duration_ms(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise VagusError(
            f"expected earliest, latest, an offset, a time or an age, got {text!r}",
            hint="a time is such as 2026-01-31T12:00, an age such as 10m or 1h30m",
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
