"""The views of a service over HTTP: by key, by filters, and as a stream of changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, create_model

from vagus.errors import VagusError
from vagus.serve import problem
from vagus.serve.parameters import (
    PAGE_NAMES,
    TOKEN_NAMES,
    TOKEN_PARAMETERS,
    field_schema,
    filter_parameters,
    page_parameters,
    read_question,
)
from vagus.serve.problem import Problem
from vagus.serve.route import json_of, operation_id, parameter
from vagus.serve.row import json_bytes
from vagus.services.token import BadToken, ExpiredToken, ForeignToken
from vagus.services.views import (
    BadQuestion,
    UnknownField,
    UnknownView,
    ViewBehind,
    ViewNotBuilt,
    ViewStopped,
)

if TYPE_CHECKING:
    from vagus.services.views import Change, Queries, ServiceView

__all__ = ["add_queries", "problem_of"]

HEARTBEAT_S = 15.0
_CHANGES = 500  # that are read at a time


def add_queries(
    api: FastAPI, several: Sequence[Queries], *, heartbeat_s: float = HEARTBEAT_S
) -> None:
    """Add `GET /queries/...` for all views of some services. `api` is to handle `Problem`s."""
    _add_list(api, several)
    for queries in several:
        for view in queries.values():
            _add_view(api, queries, view, heartbeat_s)
    _add_unknown(api, several)


def problem_of(error: VagusError) -> Problem:
    """What a client is told of an error."""
    known = ((status, name) for kind, status, name in _PROBLEMS if isinstance(error, kind))
    status, name = next(known, (500, "failed"))
    more: dict[str, Any] = {}
    if isinstance(error, ViewStopped):
        more = {"topic": error.topic, "partition": error.partition, "offset": error.offset}
    return Problem(status, name, error.message, hint=error.hint, more=more)


_PROBLEMS: list[tuple[type[VagusError], int, str]] = [
    (UnknownView, 404, "unknown-view"),
    (UnknownField, 422, "unknown-field"),
    (BadQuestion, 422, "wrong-parameter"),
    (ExpiredToken, 400, "expired-token"),
    (ForeignToken, 400, "foreign-token"),
    (BadToken, 400, "malformed-token"),
    (ViewBehind, 503, "view-behind"),
    (ViewStopped, 503, "view-stopped"),
    (ViewNotBuilt, 503, "not-ready"),
]

Answer = Callable[[Request], Awaitable[Response]]


def _told(answer: Answer) -> Answer:
    """Tell what goes wrong as a problem."""

    async def handler(request: Request) -> Response:
        try:
            return await answer(request)
        except VagusError as error:
            raise problem_of(error) from error

    return handler


# One view


def _add_view(api: FastAPI, queries: Queries, view: ServiceView, heartbeat_s: float) -> None:
    path = f"/queries/{quote(view.name)}"
    row = view.type.row
    page = create_model(
        f"{row.__name__}Page",
        rows=(list[row], ...),  # type: ignore[valid-type]
        next=(str | None, Field(None, description="Where to read on; null where no more follow.")),
    )

    async def find(request: Request) -> Response:
        asked, filters, token, wait_s = read_question(request, view, PAGE_NAMES)
        await view.reach(token, wait_s)
        found = await run_in_threadpool(lambda: view.find(**asked, **filters))
        following = None
        if found.next is not None:
            given = [(n, v) for n, v in request.query_params.multi_items() if n != "after"]
            following = f"{path}?{urlencode([*given, ('after', found.next)])}"
        return json_of({"rows": list(found), "next": following})

    async def one(request: Request) -> Response:
        _, filters, token, wait_s = read_question(request, view, ())
        for name in filters:
            raise UnknownField(name, TOKEN_NAMES, view=view.name)
        text = request.path_params["key"]
        try:
            key = view.key.read(text)
        except ValueError as error:
            raise BadQuestion(f"expected {error} as key, got {text!r}") from None
        await view.reach(token, wait_s)
        # A look into an index: handing it to a thread would take longer than doing it.
        found = view.get(key)
        if found is None:
            raise Problem(
                404,
                "unknown-key",
                f"no row with the key {text!r} in view {view.name!r}",
                hint=f"GET {path} has the rows that there are",
            )
        return json_of(found)

    async def stream(request: Request) -> Response:
        asked, filters, token, wait_s = read_question(request, view, ("since",))
        await view.reach(token, wait_s)
        since = request.headers.get("Last-Event-ID")
        if since is None and asked:
            since = "" if asked["since"] == "start" else asked["since"]
        # What is wrong with the question is said before the stream begins.
        await run_in_threadpool(lambda: view.changes(since, limit=1, **filters))
        events = _events(queries, view, since, filters, heartbeat_s)
        return StreamingResponse(
            events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    filters = filter_parameters(view)
    _add(api, path, find, f"Rows of {view.name}", page, [*filters, *page_parameters(view)])
    streamed = [
        *filters,
        *TOKEN_PARAMETERS,
        parameter(
            "since",
            {"type": "string"},
            "`start` for all rows first, or the id of an event; without it, what changes from now "
            "on. The header Last-Event-ID goes before it.",
        ),
    ]
    _add(api, f"{path}/stream", stream, f"Changes of {view.name} as they come", None, streamed)
    key = parameter("key", field_schema(view, view.type.key), "The key of the row.", place="path")
    _add(api, f"{path}/{{key:path}}", one, f"A row of {view.name}", row, [key, *TOKEN_PARAMETERS])


# Changes


async def _events(
    queries: Queries,
    view: ServiceView,
    since: str | None,
    filters: dict[str, Any],
    heartbeat_s: float,
) -> AsyncIterator[bytes]:
    """Server-sent events: `row` and `gone`, and `restart` where the client has to begin anew.

    An event has an id only where everything before it was sent, so that a client that comes back
    with the last id it saw misses nothing, and may see a change a second time.
    """
    try:
        if since is None:
            since = view.changes().place
            yield _event("ready", {}, since)
        while not queries.hung_up:
            found = await run_in_threadpool(partial(view.changes, since, limit=_CHANGES, **filters))
            if found.restart:
                yield _event("restart", {})
            for change in found.changes[:-1]:
                yield _changed(change)
            if found.changes:
                yield _changed(found.changes[-1], found.place)
            elif found.place != since:
                yield _event("ready", {}, found.place)
            since = found.place
            if not found.changes and not await queries.changed(view, since, heartbeat_s):
                yield b": still here\n\n"
    except VagusError as error:
        yield _event("problem", problem_of(error).body)


def _changed(change: Change, place: str | None = None) -> bytes:
    if change.row is None:
        return _event("gone", {"key": change.key}, place)
    return _event("row", change.row, place)


def _event(kind: str, data: Any, place: str | None = None) -> bytes:
    head = f"id: {place}\nevent: {kind}\n" if place is not None else f"event: {kind}\n"
    return head.encode() + b"data: " + json_bytes(data) + b"\n\n"


# All views


def _add_list(api: FastAPI, several: Sequence[Queries]) -> None:
    def described(view: ServiceView) -> dict[str, Any]:
        status = view.status()
        found: dict[str, Any] = {
            "name": view.name,
            "key": view.type.key,
            "fields": {name: column.kind for name, column in view.type.form.columns.items()},
            "index": list(view.type.index),
            "search": list(view.type.search),
            "ready": view.ready,
            "version": status.version,
            "rows": status.rows,
            "error": status.error,
        }
        if status.building is not None:
            found["building"] = dict(zip(("done", "total"), status.building, strict=True))
        return found

    def all_described() -> list[dict[str, Any]]:
        return [described(view) for queries in several for view in queries.values()]

    async def all_views(_request: Request) -> Response:
        return json_of({"views": await run_in_threadpool(all_described)})

    api.add_api_route(
        "/queries",
        _told(all_views),
        summary="All views",
        tags=["queries"],
        operation_id="queries",
        response_class=Response,
    )


def _add_unknown(api: FastAPI, several: Sequence[Queries]) -> None:
    known = [name for queries in several for name in queries]
    services = ", ".join(queries.service.name for queries in several)

    async def unknown(request: Request) -> Response:
        raise problem_of(UnknownView(request.path_params["name"], known, service=services))

    for path in ("/queries/{name}", "/queries/{name}/{key:path}"):
        api.add_api_route(path, unknown, include_in_schema=False)


# Plumbing


def _add(
    api: FastAPI,
    path: str,
    answer: Answer,
    summary: str,
    model: type[BaseModel] | None,
    parameters: list[dict[str, Any]],
) -> None:
    content = {"application/problem+json": {"schema": problem.SCHEMA}}
    ok: dict[str, Any] = {"description": "The answer"}
    if model is not None:
        ok["model"] = model
    else:
        ok["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    responses: dict[int | str, dict[str, Any]] = {
        200: ok,
        400: {"description": "A token that can't be used", "content": content},
        422: {"description": "A parameter that is unknown or wrong", "content": content},
        503: {"description": "Not ready, or not so far yet; ask again", "content": content},
    }
    if any(parameter["in"] == "path" for parameter in parameters):
        responses[404] = {"description": "No such row", "content": content}
    api.add_api_route(
        path,
        _told(answer),
        summary=summary,
        tags=["queries"],
        operation_id=operation_id(path),
        response_class=Response,
        responses=responses,
        openapi_extra={"parameters": parameters},
    )
