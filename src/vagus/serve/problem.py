"""Problems: what a client is told when its question can't be answered (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response
from pydantic_core import to_json

MEDIA_TYPE = "application/problem+json"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "What kind of problem it is; a stable name."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What was expected and what came."},
        "hint": {"type": "string", "description": "What to do."},
        "allowed": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The parameters that may be given.",
        },
    },
}

_TITLES = {
    "unknown-view": "No such view",
    "unknown-key": "No such row",
    "unknown-page": "No such page",
    "wrong-parameter": "Wrong parameter",
    "unknown-field": "No such field",
    "malformed-token": "Not a token",
    "foreign-token": "A token of something else",
    "expired-token": "An expired token",
    "view-behind": "The view is behind",
    "view-stopped": "The view has stopped",
    "unknown-command": "No such command",
    "wrong-command": "Not such a command",
    "not-json": "Not JSON",
    "wrong-type": "Not JSON",
    "too-large": "Too large",
    "refused": "Refused",
    "command-failed": "The command failed",
    "timed-out": "No answer in time",
    "overloaded": "Too much at once",
    "unauthenticated": "Who is it?",
    "forbidden": "Not allowed",
    "no-provider": "The identity provider doesn't answer",
    "wrong-method": "Wrong method",
    "not-ready": "Not ready",
    "failed": "Failed",
}


class Problem(Exception):
    """Answers a request with problem details. `kind` is the last part of the problem's type."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        hint: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.body: dict[str, Any] = {
            "type": f"urn:vagus:problem:{kind}",
            "title": _TITLES[kind],
            "status": status,
            "detail": detail,
        }
        if hint:
            self.body["hint"] = hint
        self.body.update(more or {})

    def response(self) -> Response:
        """The answer."""
        headers = {"Retry-After": "1"} if self.status in (429, 503) else {}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Response(to_json(self.body), self.status, headers, MEDIA_TYPE)
