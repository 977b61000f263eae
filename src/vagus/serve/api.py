"""What applications answer over HTTP: commands, queries, tables, health and measures."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from vagus.errors import HubError, VagusError, nearest
from vagus.serve import measures, problem
from vagus.serve.problem import Problem
from vagus.serve.question import LIMIT, Parameter, key_of, page_of, read_query
from vagus.serve.row import RowForm, json_bytes
from vagus.streams import View, ViewNotReady

if TYPE_CHECKING:
    from vagus.serve.measures import Measures
    from vagus.services import ServiceClient
    from vagus.services.views import Queries

_JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]


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
    _add_list(api, views)
    for view in views:
        _add_view(api, view)
    _add_unknown(api, [view.name for view in views])
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


# Views


def _add_list(api: FastAPI, views: Sequence[View]) -> None:
    described = {view.name: _columns(view) for view in views}

    def all_views(_request: Request) -> Response:
        return _json({"views": [{**described[view.name], **_extent(view)} for view in views]})

    api.add_api_route(
        "/views",
        _in_thread(all_views),
        summary="All tables",
        tags=["views"],
        operation_id="views",
        responses={200: _content("The tables, their columns and their size", _LIST_SCHEMA)},
    )


def _columns(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "key": view.key,
        "key_type": view.topic.key_kind,
        "windowed": view.windowed,
        "columns": {name: str(dtype) for name, dtype in view.columns.items()},
    }


def _extent(view: View) -> dict[str, Any]:
    try:
        return {"ready": view.ready, "rows": len(view), "newest": view.newest()}
    except ViewNotReady:
        return {"ready": False, "rows": None, "newest": None}


def _add_view(api: FastAPI, view: View) -> None:
    form = RowForm(view)
    row = form.schema()
    page = {
        "type": "object",
        "required": ["rows", "next"],
        "properties": {
            "rows": {"type": "array", "items": row},
            "next": {
                "description": "Where to read on; null where no more rows follow.",
                "anyOf": [{"type": "string"}, {"type": "null"}],
            },
        },
    }
    place = "key and window" if view.windowed else "key"
    of_page = page_of(view, one_key=False)
    path = f"/views/{view.name}"

    def scan(request: Request) -> Response:
        return _page(view, form, request, of_page, path)

    _add(api, path, _in_thread(scan), f"Rows of {view.name}, ordered by {place}", page, of_page)
    key = key_of(view)
    of_key = page_of(view, one_key=True) if view.windowed else []

    def windows(request: Request) -> Response:
        text = request.path_params["key"]
        value = key.value(text, ["key"])
        return _page(view, form, request, of_key, f"{path}/{quote(text, safe='')}", key=value)

    async def one(request: Request) -> Response:
        # A look into a dictionary: handing it to a thread would take longer than doing it.
        value = key.value(request.path_params["key"], ["key"])
        read_query(request.query_params, ())
        rows = view.rows_of(value)
        if not rows:
            raise _no_row(view, value)
        return _json(form.plain(rows)[0])

    _add(
        api,
        f"{path}/{{key:path}}",
        _in_thread(windows) if view.windowed else one,
        f"The windows of a key of {view.name}" if view.windowed else f"A row of {view.name}",
        page if view.windowed else row,
        [key, *of_key],
    )


def _page(
    view: View,
    form: RowForm,
    request: Request,
    parameters: Sequence[Parameter],
    path: str,
    *,
    key: Any = None,
) -> Response:
    asked = read_query(request.query_params, parameters)
    limit = asked.pop("limit", LIMIT)
    window = [asked.pop("after_window")] if "after_window" in asked else []
    if key is not None:
        asked["key"] = key
        asked["after"] = (key, *window) if window else None
    elif "after" in asked:
        asked["after"] = (asked["after"], *window)
    frame, place = view.page(limit, **asked)
    if key is not None and not frame.height and not view.rows_of(key):
        raise _no_row(view, key)
    following = None
    if place is not None:
        query = dict(request.query_params)
        if key is None:
            query["after"] = _text(place[0])
        if view.windowed:
            query["after_window"] = _text(place[1])
        following = f"{path}?{urlencode(query)}"
    return _json({"rows": form.plain(frame.iter_rows()), "next": following})


def _text(value: Any) -> str:
    """A key or a time as `read_query` reads it."""
    if isinstance(value, bytes):
        return urlsafe_b64encode(value).decode()
    return str(value) if isinstance(value, str | int) else value.isoformat().replace("+00:00", "Z")


def _no_row(view: View, key: Any) -> Problem:
    return Problem(
        404,
        "unknown-key",
        f"no row with the key {_text(key)!r} in view {view.name!r}",
        hint=f"GET /views/{view.name} has the rows that there are",
    )


def _add_unknown(api: FastAPI, names: list[str]) -> None:
    async def unknown(request: Request) -> Response:
        name = request.path_params["name"]
        raise Problem(
            404,
            "unknown-view",
            f"no view {name!r}",
            hint=nearest(name, names) or "GET /views lists those that there are",
        )

    for path in ("/views/{name}", "/views/{name}/{key:path}"):
        api.add_api_route(path, unknown, include_in_schema=False)


# Operation


def _add_operation(api: FastAPI, shown: Sequence[Shown]) -> None:
    async def live(_request: Request) -> Response:
        return _json({"live": True})

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
        return _json({"ready": True, **said})

    about = {"type": "object"}
    for path, handler, summary in (
        ("/health/live", live, "Whether the process answers"),
        ("/health/ready", _in_thread(is_ready), "Whether workers and views are at work"),
    ):
        _add(api, path, handler, summary, about, (), tag="operation")
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
        _in_thread(measured),
        summary="All measures, for Prometheus",
        tags=["operation"],
        operation_id=path.strip("/").replace("/", "-"),
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )


# Plumbing


def _add(
    api: FastAPI,
    path: str,
    handler: Handler,
    summary: str,
    schema: dict[str, Any],
    parameters: Sequence[Parameter],
    *,
    tag: str = "views",
) -> None:
    responses: dict[int | str, dict[str, Any]] = {200: _content("The answer", schema)}
    if parameters:
        responses[422] = _problem("A parameter that is unknown or wrong")
    if any(parameter.place == "path" for parameter in parameters):
        responses[404] = _problem("No such row")
    responses[503] = _problem("Not ready yet; ask again")
    api.add_api_route(
        path,
        handler,
        summary=summary,
        tags=[tag],
        operation_id=path.removesuffix(":path}").strip("/{}").replace("/", "-").replace("{", ""),
        response_class=Response,
        responses=responses,
        openapi_extra={"parameters": [parameter.openapi() for parameter in parameters]},
    )


def _in_thread(answer: Callable[[Request], Response]) -> Handler:
    """Work that may take longer goes to a thread, so that others are answered meanwhile."""

    async def handler(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return handler


def _json(value: Any) -> Response:
    return Response(json_bytes(value), media_type=_JSON)


def _content(what: str, schema: dict[str, Any], media_type: str = _JSON) -> dict[str, Any]:
    return {"description": what, "content": {media_type: {"schema": schema}}}


def _problem(what: str) -> dict[str, Any]:
    return _content(what, problem.SCHEMA, problem.MEDIA_TYPE)


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


_LIST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "views": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "key": {"type": "string", "description": "The column that is the key."},
                    "key_type": {"enum": ["str", "int", "uuid", "bytes"]},
                    "windowed": {"type": "boolean"},
                    "columns": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ready": {"type": "boolean"},
                    "rows": {"type": ["integer", "null"]},
                    "newest": {
                        "type": ["string", "null"],
                        "format": "date-time",
                        "description": "The largest event time that the table has seen.",
                    },
                },
            },
        }
    },
}
