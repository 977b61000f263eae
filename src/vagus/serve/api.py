"""What applications answer over HTTP: commands, queries, tables, health and measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from vagus.errors import HubError, VagusError
from vagus.serve import measures
from vagus.serve.problem import Problem
from vagus.serve.route import add_route, in_thread, json_of, operation_id
from vagus.serve.tables import add_tables
from vagus.streams import View, ViewNotReady

if TYPE_CHECKING:
    from vagus.serve.measures import Measures
    from vagus.services import ServiceClient
    from vagus.services.views import Queries


@dataclass(frozen=True)
class Shown:
    """An application as it is shown: its tables, its views of events, its measures.

    `ready` says whether its workers have their partitions and state; the views know of themselves.
    """

    name: str
    views: Sequence[View]
    counts: Measures
    ready: Callable[[], bool]
    queries: Queries | None = None


def create_api(
    title: str, shown: Sequence[Shown], clients: Sequence[ServiceClient] = ()
) -> FastAPI:
    """The interface of some applications, and of those services that `clients` send commands to.

    Raises VagusError where two of them have tables, views or commands of one name.
    """
    names = ", ".join(repr(one.name) for one in shown)
    tags = ["commands"] if clients else []
    tags += ["queries"] if any(one.queries is not None for one in shown) else []
    api = FastAPI(
        title=title,
        version=version("vagus"),
        description=f"Tables, health and measures of {names}.",
        openapi_tags=[{"name": tag} for tag in (*tags, "views", "operation")],
    )
    api.exception_handler(Problem)(_on_problem)
    api.exception_handler(VagusError)(_on_error)
    api.exception_handler(HTTPException)(_on_http)
    api.exception_handler(Exception)(_on_failure)
    if clients:
        from vagus.serve.commands import add_commands

        add_commands(api, clients)
    _add_operation(api, shown)
    views = [view for one in shown for view in one.views]
    _check_names([view.name for view in views], "tables")
    add_tables(api, views)
    queries = [one.queries for one in shown if one.queries is not None]
    if queries:
        from vagus.serve.queries import add_queries

        _check_names([name for each in queries for name in each], "views")
        add_queries(api, queries)
    return api


def _check_names(names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise VagusError(
            f"two applications have {what} called {', '.join(map(repr, twice))}",
            hint="serve them at different addresses, or rename one",
        )


# Operation


def _add_operation(api: FastAPI, shown: Sequence[Shown]) -> None:
    async def live(_request: Request) -> Response:
        return json_of({"live": True})

    def is_ready(_request: Request) -> Response:
        states = {one.name: _state(one) for one in shown}
        whole = all(state.pop("ready") for state in states.values())
        said = states[shown[0].name] if len(shown) == 1 else {"applications": states}
        if not whole:
            raise Problem(
                503, "not-ready", "the application is starting, or can't keep up", more=said
            )
        if len(shown) == 1:
            said.pop("errors")
        return json_of({"ready": True, **said})

    about = {"type": "object"}
    for path, handler, summary in (
        ("/health/live", live, "Whether the process answers"),
        ("/health/ready", in_thread(is_ready), "Whether workers and views are at work"),
    ):
        add_route(api, path, handler, summary, about, (), tag="operation")
    for one in shown:
        path = "/metrics" if len(shown) == 1 else f"/metrics/{one.name}"
        _add_measures(api, path, one.counts)


def _state(one: Shown) -> dict[str, Any]:
    """How an application is."""
    workers = one.ready()
    state: dict[str, Any] = {
        "workers": workers,
        "views": {view.name: view.ready for view in one.views},
    }
    errors = {view.name: str(view.error) for view in one.views if view.error is not None}
    whole = workers and all(view.ready for view in one.views)
    if one.queries is not None:
        state["queries"] = {view.name: view.ready for view in one.queries.values()}
        errors |= {name: str(error) for name, error in one.queries.errors().items()}
        whole = whole and all(view.ready for view in one.queries.values())
    return {**state, "errors": errors, "ready": whole}


def _add_measures(api: FastAPI, path: str, counts: Measures) -> None:
    def measured(_request: Request) -> Response:
        return Response(counts.text(), media_type=measures.MEDIA_TYPE)

    api.add_api_route(
        path,
        in_thread(measured),
        summary="All measures, for Prometheus",
        tags=["operation"],
        operation_id=operation_id(path),
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )


# What goes wrong


async def _on_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, VagusError)
    if isinstance(error, ViewNotReady):
        found = Problem(503, "not-ready", error.message, hint=error.hint)
    else:
        status = 503 if isinstance(error, HubError) else 500
        found = Problem(status, "failed", error.message, hint=error.hint)
    return found.response()


async def _on_failure(_request: Request, _error: Exception) -> Response:
    return Problem(500, "failed", "this could not be answered", hint="see the log").response()


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        return Problem(
            404, "unknown-page", f"no page {path!r}", hint="see /views, or all of them in /docs"
        ).response()
    found = Problem(
        error.status_code, "wrong-method", f"{path!r} can't be asked with {request.method}"
    )
    response = found.response()
    response.headers.update(error.headers or {})
    return response
