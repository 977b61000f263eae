"""The registry's server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from vagus.hub.schemas import HubRegistry
from vagus.serve.web import Serving

if TYPE_CHECKING:
    from vagus.hub import Hub


class RegistryServer(Serving):
    """Answers as Confluent's schema registry does, with the schemas of a hub.

    With port 0 any free port is taken: `url` says which. Several may serve one hub.

    >>> import vagus as vg
    >>> from urllib.request import urlopen
    >>> with vg.connect(":memory:") as hub, RegistryServer(hub, port=0) as server:
    ...     urlopen(server.url + "/subjects").read()
    b'[]'
    """

    def __init__(self, hub: Hub, *, host: str = "127.0.0.1", port: int = 8081) -> None:
        super().__init__(host, port)
        self.hub = hub

    def start(self) -> Self:
        """Answer from now on.

        Raises VagusError if the port is taken or the extra `serve` is not installed.
        """
        web = self._bind()
        try:
            from vagus.serve.registry.api import create_api

            web.start(create_api(HubRegistry(self.hub)))
        except BaseException:
            self.stop()
            raise
        return self
