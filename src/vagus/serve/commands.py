"""Commands over HTTP: `POST /commands/place-order`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from vagus.errors import EncodeError, VagusError, nearest
from vagus.events import Metadata
from vagus.serve import problem
from vagus.serve.problem import Problem
from vagus.serve.route import json_of, parameter
from vagus.services import CommandFailed, CommandTimedOut, Overloaded

if TYPE_CHECKING:
    from vagus.services import Command, Outcome, ServiceClient

__all__ = ["add_commands", "command_path"]

TIMEOUT_S = 10.0
TIMEOUT_MAX_S = 60.0
_KEY_MAX = 200
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def command_path(name: str) -> str:
    """How a command is called in addresses: `place-order` for PlaceOrder."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[A-Z]", name)
    return "-".join(words).lower()


def add_commands(api: FastAPI, clients: Sequence[ServiceClient]) -> None:
    """Add `POST /commands/...` for all commands of some services.

    Raises VagusError where two services take commands of one name.
    """
    takers: dict[str, str] = {}
    for client in clients:
        for name, command_type in client.service.commands.items():
            path = command_path(name)
            if path in takers:
                raise VagusError(
                    f"expected one service to take {name}, got {takers[path]!r} and "
                    f"{client.service.name!r}",
                    hint="serve them at different addresses, or rename one of the commands",
                )
            takers[path] = client.service.name
            _add(api, client, path, command_type)

    async def all_commands(_request: Request) -> Response:
        return json_of({"commands": [{"name": name, "service": of} for name, of in takers.items()]})

    async def unknown(request: Request) -> Response:
        name = request.path_params["name"]
        raise Problem(
            404,
            "unknown-command",
            f"no command {name!r}",
            hint=nearest(name, takers) or "GET /commands lists those that there are",
        )

    api.add_api_route(
        "/commands",
        all_commands,
        summary="All commands",
        tags=["commands"],
        operation_id="commands",
        response_class=Response,
    )
    api.add_api_route("/commands/{name}", unknown, methods=["POST"], include_in_schema=False)


def _add(api: FastAPI, client: ServiceClient, path: str, command_type: type[Command]) -> None:
    async def send(request: Request) -> Response:
        options = _options(request)
        command = _read(command_type, await request.body(), request)
        try:
            outcome = await client.send(command, **options)
        except CommandTimedOut as error:
            more = {"command_id": error.command_id}
            raise Problem(504, "timed-out", error.message, hint=error.hint, more=more) from error
        except Overloaded as error:
            raise Problem(429, "overloaded", error.message, hint=error.hint) from error
        except CommandFailed as error:
            raise Problem(500, "command-failed", error.message, hint=error.hint) from error
        except EncodeError as error:
            raise Problem(422, "wrong-command", error.message, hint=error.hint) from error
        return _answer(outcome)

    content = {problem.MEDIA_TYPE: {"schema": problem.SCHEMA}}
    answer = {"description": "What came of it", "content": {"application/json": {"schema": ANSWER}}}
    schema = {"$ref": f"#/components/schemas/{command_type.__name__}"}
    api.add_api_route(
        f"/commands/{path}",
        send,
        methods=["POST"],
        summary=_summary(command_type),
        tags=["commands"],
        operation_id=path,
        response_class=Response,
        responses={
            200: {**answer, "description": "Accepted: the events that came of it"},
            202: {**answer, "description": "Stored for good, not decided yet (wait=false)"},
            400: {"description": "Not JSON", "content": content},
            409: {"description": "Refused; `code` says why", "content": content},
            413: {"description": "Too large", "content": content},
            422: {"description": "Not such a command", "content": content},
            429: {"description": "Too many at once; ask again", "content": content},
            504: {"description": "No answer in time; it may still be done", "content": content},
        },
        openapi_extra={
            "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
            "parameters": _PARAMETERS,
        },
    )


def _summary(command_type: type[Command]) -> str:
    first = (command_type.__doc__ or "").strip().split("\n")[0]
    return first or command_type.__name__


# The request


def _options(request: Request) -> dict[str, Any]:
    query = request.query_params
    for name in query:
        if name not in ("wait", "timeout_s"):
            raise Problem(
                422,
                "wrong-parameter",
                f"no parameter {name!r}",
                hint=nearest(name, ["wait", "timeout_s"]) or "there are wait and timeout_s",
            )
    wait = query.get("wait", "true")
    if wait not in ("true", "false"):
        raise Problem(422, "wrong-parameter", f"expected wait=true or false, got {wait!r}")
    return {
        "wait": wait == "true",
        "timeout_s": _timeout(query.get("timeout_s")),
        "idempotency_key": _idempotency(request.headers.get("Idempotency-Key")),
        "expected_version": _version(request.headers.get("Vagus-Expected-Version")),
        "metadata": _metadata(request),
    }


def _timeout(text: str | None) -> float:
    if text is None:
        return TIMEOUT_S
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found <= TIMEOUT_MAX_S:
        raise Problem(
            422, "wrong-parameter", f"expected timeout_s up to {TIMEOUT_MAX_S:g}, got {text!r}"
        )
    return found


def _idempotency(text: str | None) -> str | None:
    if text is not None and not 0 < len(text) <= _KEY_MAX:
        raise Problem(
            422,
            "wrong-parameter",
            f"expected an Idempotency-Key of 1 to {_KEY_MAX} characters, got {len(text)}",
        )
    return text


def _version(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 18:
        raise Problem(
            422, "wrong-parameter", f"expected a whole number as expected version, got {text!r}"
        )
    return int(text)


def _metadata(request: Request) -> Metadata:
    """The request's id is the correlation id of all that comes of the command."""
    traceparent = request.headers.get("traceparent", "")
    known = traceparent if _TRACEPARENT.fullmatch(traceparent) else None
    return Metadata(None, getattr(request.state, "request_id", None), None, known)


def _read(command_type: type[Command], body: bytes, request: Request) -> Command:
    kind = request.headers.get("Content-Type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(
            415,
            "wrong-type",
            f"expected application/json, got {kind!r}",
            hint="with curl: --json '{...}'",
        )
    try:
        return command_type.model_validate_json(body)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        raise Problem(400, "not-json", f"expected JSON: {found[0]['msg']}")
    wrong = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in found]
    first = wrong[0]
    place = f"{first['field']}: " if first["field"] else ""
    raise Problem(
        422,
        "wrong-command",
        f"expected {command_type.__name__}: {place}{first['message']}",
        hint=f"it has {', '.join(command_type.model_fields)}",
        more={"errors": wrong},
    )


# The answer


def _answer(outcome: Outcome) -> Response:
    if outcome.refused is not None:
        refused = outcome.refused
        raise Problem(
            409,
            "refused",
            refused.reason or refused.code,
            more={"code": refused.code, "data": refused.data, "command_id": outcome.command_id},
        )
    token = str(outcome.token)
    body = {
        "status": outcome.status,
        "command_id": outcome.command_id,
        "version": outcome.version,
        "events": [
            {
                "type": event.type,
                "topic": event.topic,
                "partition": event.partition,
                "offset": event.offset,
            }
            for event in outcome.events
        ],
        "token": token,
    }
    response = json_of(body, 202 if outcome.status == "pending" else 200)
    response.headers["Vagus-Token"] = token
    return response


ANSWER: dict[str, Any] = {
    "type": "object",
    "required": ["status", "command_id", "events", "token"],
    "properties": {
        "status": {"enum": ["accepted", "pending"]},
        "command_id": {"type": "string", "description": "Its id in traces."},
        "version": {
            "description": "How many events its aggregate has.",
            "type": ["integer", "null"],
        },
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "type": {"type": "string"},
                    "topic": {"type": "string"},
                    "partition": {"type": "integer"},
                    "offset": {"type": "integer"},
                },
            },
        },
        "token": {"type": "string", "description": "For queries that are to show the effects."},
    },
}


_PARAMETERS = [
    parameter(
        "Idempotency-Key",
        {"type": "string", "maxLength": _KEY_MAX},
        "Of all commands with the same key one has an effect, and all get its answer.",
        place="header",
    ),
    parameter(
        "Vagus-Expected-Version",
        {"type": "integer", "minimum": 0},
        "Refuse the command unless its aggregate has so many events.",
        place="header",
    ),
    parameter(
        "wait",
        {"type": "boolean", "default": True},
        "Whether to wait until it is decided, or only until it is stored for good.",
    ),
    parameter(
        "timeout_s",
        {"type": "number", "maximum": TIMEOUT_MAX_S, "default": TIMEOUT_S},
        "How long to wait for that, in seconds.",
    ),
]
