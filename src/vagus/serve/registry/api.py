"""The registry's routes: Confluent's paths, methods and parameters."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from vagus.errors import VagusError
from vagus.serve.registry import refusal
from vagus.serve.registry.answers import Answers, Flags
from vagus.serve.registry.refusal import Refusal, answer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from vagus.hub.schemas import HubRegistry

_BODY_BYTES = 1 << 20
_SWITCHES = {
    "deleted": "deleted",
    "deletedOnly": "deleted_only",
    "permanent": "permanent",
    "verbose": "verbose",
    "defaultToGlobal": "default_to_global",
}

log = logging.getLogger("vagus")


class Asked:
    """A request: the parts of its path, its switches, its other parameters, its body."""

    def __init__(self, path: Mapping[str, str], query: Mapping[str, str], body: Any) -> None:
        self.path = {name: unquote(text) for name, text in path.items()}
        self.query = query
        switches = {
            field: query[name].lower() == "true"
            for name, field in _SWITCHES.items()
            if name in query
        }
        self.flags = Flags(**switches)
        self._body = body

    @property
    def subject(self) -> str:
        """The subject of the path."""
        return self.path["subject"]

    @property
    def body(self) -> dict[str, Any]:
        """The body. Raises Refusal if it is no JSON object."""
        try:
            body = json.loads(self._body)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise refusal.bad_request("expected a JSON object as the body")
        return body


Handler = Callable[[Asked], Any]


def create_api(registry: HubRegistry) -> FastAPI:
    """Confluent's interface to the registry of a hub."""
    api = FastAPI(
        title="Schema registry",
        version=version("vagus"),
        description="The schemas of a hub, as Confluent's schema registry gives them.",
    )
    api.add_middleware(_Escaped)
    api.exception_handler(Refusal)(_on_refusal)
    api.exception_handler(VagusError)(_on_error)
    api.exception_handler(HTTPException)(_on_http)
    api.exception_handler(Exception)(_on_failure)
    for method, path, summary, handler in _routes(Answers(registry)):
        api.add_api_route(
            path,
            _endpoint(handler),
            methods=[method],
            summary=summary,
            operation_id=f"{method.lower()} {path}",
            response_class=Response,
            responses={
                200: {"content": {refusal.MEDIA_TYPE: {}}},
                "4XX": {"content": {refusal.MEDIA_TYPE: {"schema": refusal.SCHEMA}}},
            },
        )
    return api


def _routes(answers: Answers) -> list[tuple[str, str, str, Handler]]:
    of_subject = "/subjects/{subject}"
    of_version = of_subject + "/versions/{version}"
    of_id = "/schemas/ids/{id}"
    fits = "/compatibility/subjects/{subject}/versions"
    return [
        ("GET", "/", "Whether it answers", lambda asked: {}),
        ("GET", "/contexts", "The one context there is", lambda asked: ["."]),
        ("GET", "/schemas/types", "The kinds of schemas", lambda asked: ["AVRO"]),
        (
            "GET",
            "/subjects",
            "All subjects",
            lambda asked: answers.subjects(asked.query.get("subjectPrefix", ""), asked.flags),
        ),
        (
            "POST",
            of_subject,
            "The version of a subject that is a schema",
            lambda asked: answers.lookup(asked.subject, asked.body, asked.flags),
        ),
        (
            "DELETE",
            of_subject,
            "Delete a subject",
            lambda asked: answers.delete_subject(asked.subject, asked.flags),
        ),
        (
            "GET",
            of_subject + "/versions",
            "A subject's versions",
            lambda asked: answers.versions(asked.subject, asked.flags),
        ),
        (
            "POST",
            of_subject + "/versions",
            "Register a schema",
            lambda asked: answers.register(asked.subject, asked.body),
        ),
        (
            "GET",
            of_version,
            "A version of a subject",
            lambda asked: answers.version(asked.subject, asked.path["version"], asked.flags),
        ),
        (
            "DELETE",
            of_version,
            "Delete a version",
            lambda asked: answers.delete_version(asked.subject, asked.path["version"], asked.flags),
        ),
        (
            "GET",
            of_version + "/schema",
            "The schema of a version by itself",
            lambda asked: _Text(
                answers.version(asked.subject, asked.path["version"], asked.flags)["schema"]
            ),
        ),
        (
            "GET",
            of_version + "/referencedby",
            "The ids of the schemas that refer to a version",
            lambda asked: answers.referencedby(asked.subject, asked.path["version"]),
        ),
        ("GET", of_id, "A schema", lambda asked: answers.schema(asked.path["id"])),
        (
            "GET",
            of_id + "/schema",
            "A schema by itself",
            lambda asked: _Text(answers.schema_text(asked.path["id"])),
        ),
        (
            "GET",
            of_id + "/subjects",
            "The subjects that have a schema",
            lambda asked: answers.schema_subjects(asked.path["id"], asked.flags),
        ),
        (
            "GET",
            of_id + "/versions",
            "The versions that are a schema",
            lambda asked: answers.schema_versions(asked.path["id"], asked.flags),
        ),
        (
            "POST",
            fits,
            "Whether a schema can follow a subject's versions",
            lambda asked: answers.compatibility(asked.subject, None, asked.body, asked.flags),
        ),
        (
            "POST",
            fits + "/{version}",
            "Whether a schema can follow a version",
            lambda asked: answers.compatibility(
                asked.subject, asked.path["version"], asked.body, asked.flags
            ),
        ),
        *_settings("config", "level", answers.level, answers.set_level, answers.unset_level),
        *_settings("mode", "mode", answers.mode, answers.set_mode, answers.unset_mode),
    ]


def _settings(
    path: str,
    what: str,
    get: Callable[[str | None, Flags], Any],
    put: Callable[[str | None, dict[str, Any]], Any],
    delete: Callable[[str | None], Any],
) -> list[tuple[str, str, str, Handler]]:
    """The routes of what is set for all subjects, or for one."""
    found: list[tuple[str, str, str, Handler]] = []
    for place, whose in ((f"/{path}", "the default"), (f"/{path}/{{subject}}", "a subject's")):
        found += [
            (
                "GET",
                place,
                f"Get {whose} {what}",
                lambda asked: get(asked.path.get("subject"), asked.flags),
            ),
            (
                "PUT",
                place,
                f"Set {whose} {what}",
                lambda asked: put(asked.path.get("subject"), asked.body),
            ),
            (
                "DELETE",
                place,
                f"Take {whose} {what} back",
                lambda asked: delete(asked.path.get("subject")),
            ),
        ]
    return found


class _Text(str):
    """JSON that is in text already."""

    __slots__ = ()


def _endpoint(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _read(request)
        asked = Asked(request.path_params, request.query_params, body)
        value = await run_in_threadpool(handler, asked)
        if isinstance(value, _Text):
            return Response(str(value), media_type=refusal.MEDIA_TYPE)
        return answer(value)

    return endpoint


async def _read(request: Request) -> bytes:
    """The body. Raises Refusal if it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise refusal.too_long(_BODY_BYTES)
    return bytes(body)


class _Escaped:
    """Leaves paths as they were sent: the name of a subject may hold a `/`, as `%2F`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self._app(scope, receive, send)


async def _on_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return error.response()


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, VagusError)
    log.error("the registry failed: %s", error)
    return refusal.store_failed(error.message).response()


async def _on_failure(_request: Request, _error: Exception) -> Response:
    return refusal.store_failed("see the log").response()


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    found = Refusal(error.status_code, f"HTTP {error.status_code} {error.detail}").response()
    found.headers.update(error.headers or {})
    return found
