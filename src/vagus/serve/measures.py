"""Measures: what a running application counts, as Prometheus reads it.

The names are promised: `docs/views.md` lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from vagus.errors import UnknownGroup
from vagus.hub import TopicPartition
from vagus.streams import ViewNotReady

if TYPE_CHECKING:
    from prometheus_client import Metric

    from vagus.hub import Hub
    from vagus.services.views import Queries
    from vagus.streams import App, View

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

COUNTERS: dict[str, tuple[str, str]] = {
    "records_in": ("topic", "Records read from a topic."),
    "records_out": ("topic", "Records written to a topic."),
    "records_dropped": ("step", "Records left out by a step, for want of a key."),
    "records_late": ("step", "Records that came too late for a window of a step."),
    "table_records_unreadable": ("topic", "Records of a table that could not be read."),
    "commands_accepted": ("aggregate", "Commands that were accepted."),
    "commands_refused": ("aggregate", "Commands that were refused."),
    "dead_letters": ("step", "Events that a step could not process."),
    "commits": ("app", "Commits."),
}
"""What the runtime counts: the label, and what it means."""


class Counts(Protocol):
    """Where the counts come from, such as the runtime's `Metrics`."""

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """All counts so far, by name and label."""


class Measures(Collector):
    """All measures of one application."""

    def __init__(
        self,
        app: App,
        hub: Hub,
        views: Iterable[View],
        counts: Counts,
        queries: Queries | None = None,
    ) -> None:
        self._app, self._hub, self._counts, self._queries = app, hub, counts, queries
        self._views = list(views)
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """The measures as they are now, in Prometheus' text form."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Nothing is known before it is asked for."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield from self._counters()
        yield from self._lag()
        yield from self._of_views()
        if self._queries is not None:
            yield from self._of_queries(self._queries)

    def _counters(self) -> Iterator[Metric]:
        counts = self._counts.snapshot()
        for name in sorted({*COUNTERS, *(name for name, _ in counts)}):
            label, meaning = COUNTERS.get(name, ("of", "Counted by the application."))
            family = CounterMetricFamily(f"vagus_{name}", meaning, labels=[label])
            for (known, of), count in sorted(counts.items()):
                if known == name:
                    family.add_metric([of], count)
            yield family

    def _lag(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "vagus_lag_records", "Offsets yet to be read.", labels=["topic", "partition"]
        )
        for partition, behind in sorted(self._behind().items()):
            lag.add_metric([partition.topic, str(partition.partition)], behind)
        members = GaugeMetricFamily("vagus_members", "Workers in the application's group.")
        try:
            members.add_metric([], len(self._hub.describe_group(self._app.name).members))
        except UnknownGroup:  # no worker was ever there
            members.add_metric([], 0)
        yield lag
        yield members

    def _behind(self) -> dict[TopicPartition, int]:
        """How far each partition is behind its end; from its start, where nothing is done yet."""
        existing = set(self._hub.topics())
        partitions = [
            TopicPartition(source.topic.name, part.partition)
            for source in self._app.topology.sources()
            if source.topic.name in existing
            for part in self._hub.describe_topic(source.topic.name).partitions
        ]
        starts = self._hub.offsets(partitions, "earliest")
        at = self._hub.committed(self._app.name, partitions)
        ends = self._hub.offsets(partitions, "latest")
        return {tp: max(0, ends[tp] - max(starts[tp], at.get(tp, 0))) for tp in partitions}

    def _of_views(self) -> Iterator[Metric]:
        rows = GaugeMetricFamily("vagus_view_rows", "Rows of a view.", labels=["view"])
        newest = GaugeMetricFamily(
            "vagus_view_newest_time_seconds",
            "The largest event time that a view has seen, in seconds since 1970.",
            labels=["view"],
        )
        ready = GaugeMetricFamily(
            "vagus_view_ready", "1 if a view is restored and keeps up.", labels=["view"]
        )
        unreadable = CounterMetricFamily(
            "vagus_view_records_unreadable",
            "Records that could not be read, and are left out of a view.",
            labels=["view"],
        )
        for view in self._views:
            ready.add_metric([view.name], view.ready)
            unreadable.add_metric([view.name], view.unreadable)
            with suppress(ViewNotReady):
                rows.add_metric([view.name], len(view))
                moment = view.newest()
                if moment is not None:
                    newest.add_metric([view.name], moment.timestamp())
        yield from (rows, newest, ready, unreadable)

    def _of_queries(self, queries: Queries) -> Iterator[Metric]:
        rows = GaugeMetricFamily("vagus_query_rows", "Rows of a view of events.", labels=["view"])
        ready = GaugeMetricFamily(
            "vagus_query_ready", "1 if a view of events answers and keeps up.", labels=["view"]
        )
        stopped = GaugeMetricFamily(
            "vagus_query_stopped",
            "1 if a view of events, or its rebuild, stopped.",
            labels=["view"],
        )
        done = GaugeMetricFamily(
            "vagus_query_rebuild_share", "How much of a rebuild is done.", labels=["view"]
        )
        for view in queries.values():
            status = view.status()
            ready.add_metric([view.name], view.ready)
            stopped.add_metric([view.name], status.error is not None)
            if status.rows is not None:
                rows.add_metric([view.name], status.rows)
            if status.building is not None:
                finished, total = status.building
                done.add_metric([view.name], finished / total if total else 1.0)
        yield from (rows, ready, stopped, done)
