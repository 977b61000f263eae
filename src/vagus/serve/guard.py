"""The guard before everything that is answered: ids, limits, access, and the log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders

from vagus.serve.problem import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from vagus.serve.access import Access, Caller

__all__ = ["Guard", "Limits"]

log = logging.getLogger("vagus.http")

_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_OPEN = ("/health/", "/docs", "/openapi.json", "/redoc")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken on.

    `body_bytes` is the largest request, `requests` how many are answered at the same time (more
    are turned away with 429), `timeout_s` how long an answer may take; streams may take longer.
    """

    body_bytes: int = 1 << 20
    requests: int = 1000
    timeout_s: float = 65.0


class Guard:
    """An ASGI application around another one."""

    def __init__(self, inner: ASGIApp, limits: Limits, access: Access | None) -> None:
        self._inner, self._limits, self._access = inner, limits, access
        self._busy = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        await _Exchange(self, scope, receive, send).run()

    async def answer(self, exchange: _Exchange) -> None:
        """Check a request and have it answered. Raises Problem before anything is sent."""
        if self._busy >= self._limits.requests:
            raise Problem(
                429,
                "overloaded",
                f"{self._busy} requests are being answered, and no more are taken on",
                hint="ask again in a second",
            )
        self._busy += 1
        try:
            await self._admit(exchange)
            if exchange.path.endswith("/stream"):
                await self._inner(exchange.scope, exchange.receive, exchange.send)
                return
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    await self._inner(exchange.scope, exchange.receive, exchange.send)
            except TimeoutError:
                raise Problem(
                    504, "timed-out", f"no answer within {self._limits.timeout_s:g} s"
                ) from None
        finally:
            self._busy -= 1

    async def _admit(self, exchange: _Exchange) -> None:
        length = exchange.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            raise self.too_large()
        if self._access is None or exchange.path.startswith(_OPEN):
            return
        exchange.caller = await run_in_threadpool(self._access.caller, exchange.headers)
        scope = _scope(exchange.path)
        if scope is not None:
            self._access.check(exchange.caller, scope)

    @property
    def body_bytes(self) -> int:
        """The largest body."""
        return self._limits.body_bytes

    def too_large(self) -> Problem:
        """What is said of a body that is too large."""
        return Problem(
            413, "too-large", f"expected a body of at most {self._limits.body_bytes:,} bytes"
        )


def _scope(path: str) -> str | None:
    """What a caller must be allowed to ask there; None for what every caller may."""
    kind, _, rest = path.lstrip("/").partition("/")
    name = rest.split("/")[0]
    if kind in ("commands", "queries", "views"):
        singular = {"commands": "command", "queries": "query", "views": "query"}[kind]
        return f"{singular}:{name}" if name else None
    return "operation"


class _Exchange:
    """One request and its answer."""

    def __init__(self, guard: Guard, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.headers = Headers(scope=scope)
        self.caller: Caller | None = None
        given = self.headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = self.id
        self._guard, self._receive, self._send = guard, receive, send
        self._read_bytes = 0
        self._status = 0

    async def run(self) -> None:
        began_s = time.perf_counter()
        try:
            await self._guard.answer(self)
        except Problem as problem:
            if self._status:  # the answer has begun: it can only be broken off
                raise
            await problem.response()(self.scope, self.receive, self.send)
        finally:
            self._note(time.perf_counter() - began_s)

    async def receive(self) -> Message:
        """The next part of the request. Raises Problem where there is too much of it."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._read_bytes += len(message.get("body", b""))
            if self._read_bytes > self._guard.body_bytes:
                raise self._guard.too_large()
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer, which bears the request's id."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.id
        await self._send(message)

    def _note(self, took_s: float) -> None:
        level = logging.WARNING if self._status >= 500 else logging.INFO
        if log.isEnabledFor(level):
            said: dict[str, Any] = {
                "request_id": self.id,
                "method": self.scope["method"],
                "path": self.path,
                "status": self._status,
                "ms": round(took_s * 1000, 1),
            }
            if self.caller is not None:
                said["caller"] = self.caller.name
            log.log(level, "%s", json.dumps(said))
