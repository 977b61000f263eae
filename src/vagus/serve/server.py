"""The server: an application's tables over HTTP, in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from vagus.errors import UnknownGroup, VagusError
from vagus.hub import TopicPartition
from vagus.hub.schemas import HubRegistry
from vagus.runtime.metrics import Metrics
from vagus.runtime.replica import no_progress
from vagus.streams import Views

if TYPE_CHECKING:
    from types import TracebackType

    import uvicorn

    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.runtime.replica import Progress
    from vagus.serve.measures import Counts
    from vagus.streams import App

_MakeServer = Callable[[Any, threading.Event], "uvicorn.Server"]

_LAST_ANSWERS_S = 5  # for requests that are being answered when the server stops


class Server:
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
        self.app, self.hub = app, hub
        self.host, self.port = host, port
        self._metrics: Counts = metrics or Metrics()
        self._ready = ready or self._assigned
        self._views: Views | None = None
        self._thread: threading.Thread | None = None
        self._uvicorn: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """Where the server answers."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self, *, registry: Registry | None = None, progress: Progress | None = None) -> Self:
        """Answer from now on. Views are restored meanwhile, and `progress` is told of it.

        Raises VagusError if the port is taken or the extra `serve` is not installed.
        """
        web = _web()
        bound = _bind(self.host, self.port)
        self.port = bound.getsockname()[1]
        try:
            self._begin(bound, web, registry or HubRegistry(self.hub), progress or no_progress)
        except BaseException:
            bound.close()
            self.stop()
            raise
        return self

    def _begin(
        self, bound: socket.socket, web: _MakeServer, registry: Registry, progress: Progress
    ) -> None:
        from vagus.serve.api import create_api
        from vagus.serve.measures import Measures

        views = Views(self.app, self.hub, registry, live=True, progress=progress)
        self._views = views
        followed = views.follow_all()
        self.app.show_views(views)
        counts = Measures(self.app, self.hub, followed, self._metrics)
        api = create_api(self.app.name, followed, counts=counts, ready=self._ready)
        started = threading.Event()
        self._uvicorn = web(api, started)
        self._thread = threading.Thread(
            target=self._serve, args=(bound, started), name="vagus-server", daemon=True
        )
        self._thread.start()
        started.wait()
        if not self._uvicorn.started:
            raise VagusError("expected the server to start", where=self.url, hint="see the log")

    def stop(self) -> None:
        """Finish what is being answered, and stop. May be called twice."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._views is not None:
            self.app.show_views(None)
            self._views.close()
            self._views = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _serve(self, bound: socket.socket, started: threading.Event) -> None:
        assert self._uvicorn is not None
        try:
            asyncio.run(self._uvicorn.serve(sockets=[bound]))
        finally:
            bound.close()
            started.set()

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


def _web() -> _MakeServer:
    """What makes the web server, with all that it needs imported."""
    try:
        import fastapi  # noqa: F401 - here to say at once what is missing
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise VagusError(
            f"expected the extra 'serve', which serves tables over HTTP: {error}",
            hint='pip install "vagus[serve]"',
        ) from None

    class Web(uvicorn.Server):
        def __init__(self, api: Any, started: threading.Event) -> None:
            config = uvicorn.Config(
                api,
                log_config=None,  # how a program logs is its own business
                log_level="warning",
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
            )
            super().__init__(config)
            self._told = started

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            self._told.set()

    return Web


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once, without waiting for more, only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # Now, so that a second server of the same port is refused here, and says so.
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        what = "it is in use" if taken else str(error)
        raise VagusError(
            f"expected a port to serve on, got {host}:{port}: {what}",
            hint="choose another port, or 0 for any that is free",
        ) from None
    return bound
