"""How an answer becomes a route of the interface, with its description."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from vagus.serve import problem
from vagus.serve.row import json_bytes

if TYPE_CHECKING:
    from vagus.serve.question import Parameter

__all__ = [
    "Handler",
    "add_route",
    "content_of",
    "in_thread",
    "json_of",
    "operation_id",
    "parameter",
]

_JSON = "application/json"

Handler = Callable[[Request], Awaitable[Response]]


def add_route(
    api: FastAPI,
    path: str,
    handler: Handler,
    summary: str,
    schema: dict[str, Any],
    parameters: Sequence[Parameter],
    *,
    tag: str = "views",
) -> None:
    """Add `GET path`, with what it answers and may be asked. `handler` may raise `Problem`s."""
    responses: dict[int | str, dict[str, Any]] = {200: content_of("The answer", schema)}
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
        operation_id=operation_id(path),
        response_class=Response,
        responses=responses,
        openapi_extra={"parameters": [parameter.openapi() for parameter in parameters]},
    )


def operation_id(path: str) -> str:
    """What clients that are generated call the route."""
    return path.removesuffix(":path}").strip("/{}").replace("/", "-").replace("{", "")


def in_thread(answer: Callable[[Request], Response]) -> Handler:
    """Work that may take longer goes to a thread, so that others are answered meanwhile."""

    async def handler(request: Request) -> Response:
        return await run_in_threadpool(answer, request)

    return handler


def json_of(value: Any, status: int = 200) -> Response:
    """A value as an answer."""
    return Response(json_bytes(value), status, media_type=_JSON)


def content_of(what: str, schema: dict[str, Any], media_type: str = _JSON) -> dict[str, Any]:
    """An answer, described."""
    return {"description": what, "content": {media_type: {"schema": schema}}}


def parameter(
    name: str, schema: dict[str, Any], meaning: str, *, place: str = "query"
) -> dict[str, Any]:
    """A parameter, in words of OpenAPI."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": meaning,
        "schema": schema,
    }


def _problem(what: str) -> dict[str, Any]:
    return content_of(what, problem.SCHEMA, problem.MEDIA_TYPE)
