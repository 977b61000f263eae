"""From an address to a hub."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from vagus.errors import HubError
from vagus.hub.local import LocalHub

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vagus.hub.contract import Hub


def connect(
    url: str,
    *,
    clock: Callable[[], float] = time.time,
    properties: Mapping[str, object] | None = None,
) -> Hub:
    """Open the hub at `url`: a file's path, `:memory:`, or `kafka://host:port,host:port`.

    A file is made if it isn't there. `clock` gives the time in seconds since 1970, for the sessions
    and the retention of a hub in a file or in memory; one in memory with a clock of one's own never
    waits. `properties` are librdkafka's, for a cluster. Raises HubUnavailable if the file can't be
    used or the cluster doesn't answer, HubError if the address is of no known kind.

    >>> with connect(":memory:") as hub:
    ...     hub.topics()
    []
    """
    scheme = re.match(r"([a-z][a-z0-9+.-]*)://", url, re.IGNORECASE)
    if scheme and scheme[1] == "kafka":
        return _cluster(url, properties)
    if not url or scheme or properties:
        what = "properties for a file" if url and not scheme else repr(url)
        raise HubError(
            f"expected the path of a file, ':memory:' or kafka://host:port, got {what}",
            where="hub",
            hint="give a path such as ./vagus.db",
        )
    return LocalHub(url, clock=clock)


def _cluster(url: str, properties: Mapping[str, object] | None) -> Hub:
    try:
        from vagus.hub.kafka import KafkaHub
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise HubError(
            "expected Kafka's client, which is not installed",
            where="kafka://",
            hint="pip install 'vagus[kafka]'",
        ) from None
    from vagus.hub.kafka.settings import KafkaSettings

    return KafkaHub(KafkaSettings.of(url, properties))
