"""The server: an application's tables over HTTP, in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from vagus.errors import UnknownGroup
from vagus.hub import TopicPartition
from vagus.hub.schemas import HubRegistry
from vagus.runtime.metrics import Metrics
from vagus.runtime.replica import no_progress
from vagus.serve.web import Serving, Web
from vagus.services.views import queries_of
from vagus.streams import Views

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.replica import Progress
    from vagus.serve.measures import Counts
    from vagus.services.views import Queries
    from vagus.streams import App


class Server(Serving):
    """Serves an application's tables, health and measures while it runs.

    `metrics` has what its workers count; `ready` says whether they have their partitions and
    state, and by default asks the hub whether all partitions are owned. With port 0 any free port
    is taken: `url` says which. While it is started, `app.views` answers too.

    >>> import vagus as vg
    >>> from urllib.request import urlopen
    >>> app = vg.App("fleet")
    >>> with vg.connect(":memory:") as hub, Server(app, hub, port=0) as server:
    ...     urlopen(server.url + "/health/live").read()
    b'{"live":true}'
    """

    def __init__(
        self,
        app: App,
        hub: Hub,
        *,
        metrics: Counts | None = None,
        ready: Callable[[], bool] | None = None,
        host: str = "127.0.0.1",
        port: int = 8080,
    ) -> None:
        super().__init__(host, port)
        self.app, self.hub = app, hub
        self._metrics: Counts = metrics or Metrics()
        self._ready = ready or self._assigned
        self._views: Views | None = None
        self._queries: Queries | None = None

    def start(self, *, registry: Registry | None = None, progress: Progress | None = None) -> Self:
        """Answer from now on. Views are restored meanwhile, and `progress` is told of it.

        Raises VagusError if the port is taken or the extra `serve` is not installed.
        """
        web = self._bind()
        try:
            self._begin(web, registry or HubRegistry(self.hub), progress or no_progress)
        except BaseException:
            self.stop()
            raise
        return self

    def _begin(self, web: Web, registry: Registry, progress: Progress) -> None:
        from vagus.serve.api import Shown, create_api
        from vagus.serve.measures import Measures

        views = Views(self.app, self.hub, registry, live=True, progress=progress)
        self._views = views
        followed = views.follow_all()
        self.app.show_views(views)
        self._queries = queries_of(self.app, self.hub, registry)
        if self._queries is not None:
            self._queries.follow()
        counts = Measures(self.app, self.hub, followed, self._metrics, self._queries)
        shown = Shown(self.app.name, followed, counts, self._ready, self._queries)
        web.start(create_api(self.app.name, [shown]))

    def stop(self) -> None:
        """Finish what is being answered, and stop. May be called twice."""
        if self._queries is not None:
            self._queries.hang_up()
        super().stop()
        if self._views is not None:
            self.app.show_views(None)
            self._views.close()
            self._views = None
        if self._queries is not None:
            self._queries.close()
            self._queries = None

    def _assigned(self) -> bool:
        """Whether every partition that the application reads has an owner."""
        wanted = {
            TopicPartition(source.topic.name, part.partition)
            for source in self.app.topology.sources()
            if source.topic.name in self.hub.topics()
            for part in self.hub.describe_topic(source.topic.name).partitions
        }
        if not self.app.topology.sources():
            return True
        try:
            members = self.hub.describe_group(self.app.name).members
        except UnknownGroup:
            return False
        owned = {partition for member in members for partition in member.assignment}
        return bool(wanted) and wanted <= owned
