"""The gateway: some services behind one address."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from vagus.errors import VagusError
from vagus.hub.contract import Closing
from vagus.hub.schemas import HubRegistry
from vagus.runtime.metrics import Metrics
from vagus.runtime.provision import provision
from vagus.serve.web import Web
from vagus.services import Service
from vagus.services.views import queries_of
from vagus.streams import Views

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.serve.access import Access
    from vagus.serve.guard import Limits
    from vagus.serve.measures import Counts
    from vagus.services import ServiceClient
    from vagus.streams import App

__all__ = ["Gateway", "check_apart"]


class Gateway(Closing):
    """Takes commands and answers queries of some services over HTTP, wherever they run.

    `workers` tells of those whose workers run here what they count and whether they are ready.
    `access` says who may do what (None: everybody everything), `limits` how much is taken on. With
    port 0 any free port is taken: `url` says which. It answers from the moment it is made.

    >>> import vagus as vg
    >>> from urllib.request import urlopen
    >>> bank = vg.Service("bank")
    >>> here = "127.0.0.1", 0
    >>> with vg.connect(":memory:") as hub, Gateway([bank], hub, address=here) as gateway:
    ...     urlopen(gateway.url + "/commands").read()
    b'{"commands":[]}'
    """

    def __init__(
        self,
        services: Sequence[App],
        hub: Hub,
        *,
        registry: Registry | None = None,
        workers: Mapping[str, tuple[Counts, Callable[[], bool]]] | None = None,
        address: tuple[str, int] = ("127.0.0.1", 8080),
        access: Access | None = None,
        limits: Limits | None = None,
    ) -> None:
        check_apart(services)
        self.services, self.hub = list(services), hub
        self._open = ExitStack()
        self._web = Web(*address)
        try:
            self._start(registry or HubRegistry(hub), workers or {}, access, limits)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._web.url

    def _start(
        self,
        registry: Registry,
        workers: Mapping[str, tuple[Counts, Callable[[], bool]]],
        access: Access | None,
        limits: Limits | None,
    ) -> None:
        from vagus.serve.api import Shown, create_api
        from vagus.serve.guard import Guard
        from vagus.serve.guard import Limits as Default
        from vagus.serve.measures import Measures

        shown: list[Shown] = []
        clients: list[ServiceClient] = []
        for service in self.services:
            if service.topology.sources():
                provision(self.hub, service.name, service.topology)  # the topics of its tables
            views = Views(service, self.hub, registry, live=True)
            self._open.callback(views.close)
            followed = views.follow_all()
            service.show_views(views)
            self._open.callback(service.show_views, None)
            queries = queries_of(service, self.hub, registry)
            if queries is not None:
                self._open.callback(queries.close)
                queries.follow()
            counts, ready = workers.get(service.name, (Metrics(), lambda: True))
            measures = Measures(service, self.hub, followed, counts, queries)
            shown.append(Shown(service.name, followed, measures, ready, queries))
            if isinstance(service, Service):
                clients.append(
                    self._open.enter_context(service.connect(self.hub, registry=registry))
                )
        # Whatever else is let go of, answers end first.
        self._open.callback(self._web.stop)
        for one in shown:
            if one.queries is not None:
                self._open.callback(one.queries.hang_up)
        title = ", ".join(service.name for service in self.services)
        api = create_api(title, shown, clients)
        _describe(api, clients, secured=access is not None)
        self._web.start(Guard(api, limits or Default(), access))

    def close(self) -> None:
        """Finish what is being answered, and stop. May be called twice."""
        self._open.close()
        self._web.stop()


def check_apart(services: Sequence[App]) -> None:
    """Raise VagusError where two services have one name, or claim the same topic."""
    names: set[str] = set()
    owners: dict[str, str] = {}
    for service in services:
        if service.name in names:
            raise VagusError(
                f"two services are called {service.name!r}", hint="give one another name"
            )
        names.add(service.name)
        for topic in sorted(service.topology.owned):
            if topic in owners:
                raise VagusError(
                    f"expected topic {topic!r} to belong to one service, got "
                    f"{owners[topic]!r} and {service.name!r}",
                    hint="give one of the aggregates another name",
                )
            owners[topic] = service.name


def _describe(api: Any, clients: Sequence[ServiceClient], *, secured: bool) -> None:
    """Have the OpenAPI page know the commands' types, and how callers say who they are."""
    from pydantic.json_schema import models_json_schema

    types = [kind for client in clients for kind in client.service.commands.values()]
    _, schemas = models_json_schema(
        [(kind, "validation") for kind in types], ref_template="#/components/schemas/{model}"
    )
    plain = api.openapi

    def described() -> dict[str, Any]:
        if api.openapi_schema is None:
            found = plain()
            parts = found.setdefault("components", {})
            parts.setdefault("schemas", {}).update(schemas.get("$defs", {}))
            if secured:
                parts["securitySchemes"] = {
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                    "bearer": {"type": "http", "scheme": "bearer"},
                }
                found["security"] = [{"key": []}, {"bearer": []}]
            api.openapi_schema = found
        schema: dict[str, Any] = api.openapi_schema
        return schema

    api.openapi = described
