"""The registry's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from vagus.hub.schemas import HubRegistry
from vagus.serve.web import Web, url_of

if TYPE_CHECKING:
    from types import TracebackType

    from vagus.hub import Hub


class RegistryServer:
    """Answers as Confluent's schema registry does, with the schemas of a hub.

    With port 0 any free port is taken: `url` says which. Several may serve one hub.

    >>> import vagus as vg
    >>> from urllib.request import urlopen
    >>> with vg.connect(":memory:") as hub, RegistryServer(hub, port=0) as server:
    ...     urlopen(server.url + "/subjects").read()
    b'[]'
    """

    def __init__(self, hub: Hub, *, host: str = "127.0.0.1", port: int = 8081) -> None:
        self.hub = hub
        self.host, self.port = host, port
        self._web: Web | None = None

    @property
    def url(self) -> str:
        """Where the registry answers."""
        return url_of(self.host, self.port)

    def start(self) -> Self:
        """Answer from now on.

        Raises VagusError if the port is taken or the extra `serve` is not installed.
        """
        self._web = web = Web(self.host, self.port)
        self.port = web.port
        try:
            from vagus.serve.registry.api import create_api

            web.start(create_api(HubRegistry(self.hub)))
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Finish what is being answered, and stop. May be called twice."""
        if self._web is not None:
            self._web.stop()
            self._web = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
