"""The application: topics, tables, and what is done with them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vagus.errors import DeclarationError, VagusError
from vagus.events import Event, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.batch import Retry
from vagus.runtime.topology import Source, Step, StoreSpec, Topology
from vagus.runtime.worker import Policy
from vagus.streams.duration import Duration, duration_ms
from vagus.streams.steps import table as table_steps
from vagus.streams.steps.effect import HELD, Care, Effect
from vagus.streams.stream import Stream
from vagus.streams.table import Table
from vagus.streams.topics import classes_of, config_of, fields_of, shape_of, topic_of

if TYPE_CHECKING:
    from vagus.runtime.topic import Topic
    from vagus.streams.describe import Description
    from vagus.streams.flow import Flow
    from vagus.streams.handlers import Breaker
    from vagus.streams.views import Views

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")


class App:
    """A service or pipeline: what it reads, what it does, what it writes.

    Declaring an application does no I/O: it can be imported, drawn and tested without a hub.
    `name` is its consumer group, and the beginning of the names of its own topics. `on_error`
    says what becomes of an event that can't be processed: it is set apart among the dead letters,
    or the application stops. `retry` says how often your functions are tried before that. Work is
    gathered for a commit until `commit_interval` has passed or `commit_bytes` of outputs wait;
    by default for as long as suits the hub: not at all on the embedded one. A worker that is
    silent for `session_timeout` loses its partitions to the others.

    >>> import vagus as vg
    >>> vg.App("fleet").name
    'fleet'
    """

    def __init__(
        self,
        name: str,
        *,
        on_error: Literal["dead-letter", "stop"] = "dead-letter",
        retry: Retry | None = None,
        commit_interval: Duration | None = None,
        commit_bytes: int = 64 << 20,
        session_timeout: Duration = "45s",
    ) -> None:
        if not _NAME.fullmatch(name):
            raise DeclarationError(
                f"expected a name of letters, digits, '.', '_' and '-', got {name!r}",
                hint="it becomes part of topic names",
            )
        if on_error not in ("dead-letter", "stop"):
            raise DeclarationError(
                f"expected on_error='dead-letter' or 'stop', got {on_error!r}", where=name
            )
        self.name = name
        if commit_bytes < 1:
            raise DeclarationError(f"expected commit_bytes of 1 or more, got {commit_bytes}")
        self.policy = Policy(
            on_error=on_error,
            retry=retry or Retry(),
            commit_interval_s=None
            if commit_interval is None
            else duration_ms(commit_interval) / 1e3,
            commit_bytes=commit_bytes,
            session_timeout_s=duration_ms(session_timeout) / 1000,
        )
        self._topology = Topology()
        self._topics: dict[str, Topic] = {}
        self._tables: dict[str, Topic] = {}
        self._views: Views | None = None

    def __repr__(self) -> str:
        return f"App({self.name!r}, topics={sorted(self._topics)})"

    @property
    def topology(self) -> Topology:
        """What the runtime runs."""
        return self._topology

    @property
    def topics(self) -> dict[str, Topic]:
        """The declared topics, by name."""
        return dict(self._topics)

    @property
    def tables(self) -> dict[str, Topic]:
        """The topics that can be queried as tables, by name."""
        return dict(self._tables)

    @property
    def views(self) -> Views:
        """The application's tables, to query: `app.views["bus-speed"].get("42")`.

        They are there while the application runs in this process: with `run`, beside a
        `vagus.serve.Server`, in a test harness. Raises VagusError otherwise.
        """
        if self._views is None:
            raise VagusError(
                "expected a running application, got one that is only declared",
                where=self.name,
                hint="run it in this process, or open its tables on a hub with "
                "vagus.streams.Views(app, hub, registry)",
            )
        return self._views

    def show_views(self, views: Views | None) -> None:
        """Have `views` answer with these; None when the application stops. For what runs it."""
        self._views = views

    # Inputs

    def topic(  # noqa: PLR0913 - each is a plain fact of the topic
        self,
        name: str,
        event_type: Any,
        *,
        key: str | None = None,
        time: str | None = None,
        partitions: int = 1,
        retention: Duration | None = None,
        retention_bytes: int | None = None,
        form: Literal["avro", "json"] = "avro",
    ) -> Stream:
        """Declare a topic; the result is the stream of its events, and a place to write to.

        `event_type` is an event class, or several joined by `|`. `key` and `time` name the fields
        that are an event's key and its time; without them events have no key (in Python they can
        be sent with one), and the time at which they were sent. `partitions`, `retention` and
        `retention_bytes` (of one partition) are used if the topic has yet to be created; events
        are kept for ever by default. `form` is how events are written.
        """
        config = config_of(partitions, retention, retention_bytes)
        topic = self._register(topic_of(name, event_type, key, time, config, form))
        return Stream(
            self,
            self._source(topic),
            fields_of(topic),
            topic.key,
            topic.key_kind,
            event_types=classes_of(event_type),
            base=name,
        )

    def table(
        self,
        name: str,
        event_type: type[Event],
        *,
        key: str,
        time: str | None = None,
        partitions: int = 1,
        form: Literal["avro", "json"] = "avro",
        kept: bool = False,
    ) -> Table:
        """Declare a compacted topic that is read by key: the last event of each key is its row.

        `kept` has every worker keep the rows of its partitions even if no join needs them;
        `filter` then leaves out deletions of rows that it never gave on.
        """
        config = TopicConfig(partitions=partitions, cleanup="compact")
        topic = self._register(topic_of(name, event_type, key, time, config, form), view=True)
        process = table_steps.rows(name)
        step_name = f"{name} (rows)"
        if step_name in self._topology:
            node = self._topology[step_name]
        else:
            source = self._source(topic)
            node = self._topology.add(
                Step(
                    step_name,
                    (source,),
                    make=lambda stores: process,
                    empty=topic.empty,
                    label="rows by key",
                )
            )
        table = Table(
            self,
            node,
            fields_of(topic),
            key,
            topic.key_kind,
            event_types=classes_of(event_type),
            base=name,
            topic=topic,
            spec=StoreSpec(topic, logged=False),
        )
        if kept:
            from dataclasses import replace

            return replace(table, node=table._kept()[0])
        return table

    # Side effects

    def on(
        self,
        flow: Flow,
        *,
        retry: Retry | None = None,
        in_order: bool = False,
        breaker: Breaker | None = None,
    ) -> Callable[[_Handler], _Handler]:
        """Call the decorated function, plain or async, with each event of a stream or table.

        It is for effects outside of Vagus, and is called before the commit: at least once, and
        again after a crash. If it takes a second argument, that is a `vg.Call` with a key by
        which what it calls can tell a repetition. Deletions have no event and are passed over.

        An event that it still fails on after all tries (`retry`, or those of the application)
        becomes a dead letter, and later events go on; with `in_order` those of the same key wait
        among the dead letters, too, until they are replayed. `breaker` stops calling for a while
        after too many failures.
        """
        reader, empty = flow._reader(), flow.empty
        care = Care(retry, in_order, breaker)

        def decorate(handler: _Handler) -> _Handler:
            called = getattr(handler, "__name__", type(handler).__name__)
            name = self._step_name(f"{flow.base}.on {called}")
            stores: tuple[StoreSpec, ...] = ()
            if in_order:
                stores = (flow._store_spec(f"{flow.base}-on-{called}", HELD, windowed=False),)
            self._topology.add(
                Step(
                    name,
                    (flow.node,),
                    make=lambda kept: Effect(
                        name, handler, reader, empty, care, next(iter(kept.values()), None)
                    ),
                    empty=empty,
                    stores=stores,
                    label=f"on {called}",
                    effect=True,
                )
            )
            return handler

        return decorate

    def describe(self) -> Description:
        """The topology, to print or to draw."""
        from vagus.streams.describe import Description

        return Description(self)

    def run(self, hub: str = "vagus.db", *, workers: int = 1, registry: str | None = None) -> None:
        """Run in this process, on threads, until SIGINT or SIGTERM.

        `registry` is the URL of a schema registry; without one schemas are kept in the hub. The
        commit at hand is finished, and the group left; a second signal ends the process at once.
        `vagus run` does more: processes, views over HTTP, progress. Raises what made a
        worker fail.
        """
        from vagus.hub import connect, open_registry
        from vagus.runtime.runner import Runner
        from vagus.streams.views import showing

        with connect(hub) as opened:
            with showing(self, opened, open_registry(registry, opened)):
                code = Runner(self, opened, workers=workers, registry=registry).run()
            if code:  # a worker may hang: nothing is waited for
                os._exit(code)

    # For streams and tables

    def _step_name(self, wanted: str) -> str:
        """A name for a step without state: the wanted one, numbered where it is taken."""
        name, number = wanted, 2
        while name in self._topology:
            name = f"{wanted} {number}"
            number += 1
        return name

    def _source(self, topic: Topic) -> Source:
        if topic.name in self._topology:
            node = self._topology[topic.name]
            assert isinstance(node, Source)
            return node
        return self._topology.add(Source(topic.name, topic=topic))

    def _register(self, topic: Topic, *, view: bool = False) -> Topic:
        known = self._topics.get(topic.name)
        if known is None:
            self._topics[topic.name] = known = topic
        elif shape_of(known) != shape_of(topic):
            raise DeclarationError(
                f"topic {topic.name!r} is declared twice, in different ways",
                where=self.name,
                hint="declare it once and use the result in both places",
            )
        if view:
            self._tables[topic.name] = known
        return known

    def _declared(self, stream: Flow) -> Topic:
        if not isinstance(stream.node, Source):
            raise DeclarationError(
                f"expected a topic to write to, got the stream {stream.node.name!r}",
                hint="pass what app.topic(...) returned, or a topic's name",
            )
        return stream.node.topic

    def _output(
        self,
        name: str,
        flow: Flow,
        event_type: type[Event] | None,
        form: Literal["avro", "json"] = "avro",
        **kept: Any,
    ) -> Topic:
        if event_type is None and name in self._topics:
            return self._topics[name]
        config = config_of(**kept)
        topic = flow._topic(name, config, form=form)
        if event_type is not None:
            from dataclasses import replace

            topic = replace(topic, schemas=(RecordSchema.of(event_type),))
        return self._register(topic)
