"""Commands over HTTP: `vagus serve` in a process of its own, and callers who wait, here.

The callers speak HTTP/1.1 by hand on connections that stay open: a client library would take more
of the machine than the gateway does.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlsplit

import psutil

from benchmarks.measure import Result, Span, peak_memory_mb, result

CONNECTIONS = 100
_BANK = Path(__file__).with_name("bank.py")


def commands(path: Path, count: int) -> Result:
    """Commands on a hundred connections, each answered before the next one is sent.

    Beside them requests whose answer is always the same: what HTTP alone costs.
    """
    each = max(2, count // CONNECTIONS)
    with _served(path) as (server, url):
        account = psutil.Process(server.pid)
        deposits = [_deposit(number) for number in range(CONNECTIONS)]
        asyncio.run(_ask(url, deposits, 1))
        live = b"GET /health/live HTTP/1.1\r\nHost: bank\r\n\r\n"
        empty, span = Span(), Span()
        with empty:
            asyncio.run(_ask(url, [live] * CONNECTIONS, each))
        before = sum(account.cpu_times()[:2])
        with span:
            took_ms = asyncio.run(_ask(url, deposits, each))
        span.cpu_s = sum(account.cpu_times()[:2]) - before  # the server's, not the callers'
    return result(
        "gateway.commands",
        each * CONNECTIONS,
        span,
        ratios={"empty_answers": empty.wall_s / span.wall_s},
        more={"p50_ms": median(took_ms), "p99_ms": quantiles(took_ms, n=100)[98]},
        peak_mb=peak_memory_mb(resource.RUSAGE_CHILDREN),
    )


@contextmanager
def _served(path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The bank, served on a free port: its process and address."""
    command = [sys.executable, "-m", "vagus.cli", "serve", str(_BANK), "--http", "127.0.0.1:0"]
    server = subprocess.Popen(
        [*command, "--hub", str(path), "--quiet"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        said = server.stderr.readline()
        if not said.startswith("http"):
            raise SystemExit(f"gateway.commands: expected a server, got {said}")
        yield server, said.split()[0]
    finally:
        server.terminate()
        server.communicate()


def _deposit(number: int) -> bytes:
    body = json.dumps({"account": f"account-{number}", "cents": 1}).encode()
    return (
        b"POST /commands/deposit HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


async def _ask(url: str, requests: list[bytes], times: int) -> list[float]:
    """Send each request so many times on a connection of its own; how long each took, in ms."""
    at = urlsplit(url)
    took_ms: list[float] = []

    async def caller(request: bytes) -> None:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        for _ in range(times):
            before = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length))
            took_ms.append((time.perf_counter() - before) * 1e3)
            if not head.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"gateway.commands: expected success, got {head!r} {body!r}")
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*map(caller, requests))
    return took_ms
