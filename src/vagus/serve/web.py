"""An HTTP server in a thread of its own, whatever it answers."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from vagus.errors import VagusError

if TYPE_CHECKING:
    from types import TracebackType

    import uvicorn

_LAST_ANSWERS_S = 5  # for requests that are being answered when the server stops


class Web:
    """Answers at an address from `start` to `stop`. With port 0 any free port is taken.

    Making one takes the port, so that a second server of the same port is refused here: raises
    VagusError if it is taken, or if the extra `serve` is not installed.
    """

    def __init__(self, host: str, port: int) -> None:
        _check_extra()
        self._bound = _bind(host, port)
        self.host = host
        self.port: int = self._bound.getsockname()[1]
        self._started = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return url_of(self.host, self.port)

    def start(self, api: Any) -> None:
        """Answer with an ASGI application from now on."""
        self._server = server = _server(api, self._started)
        self._thread = threading.Thread(target=self._run, name="vagus-server", daemon=True)
        self._thread.start()
        self._started.wait()
        if not server.started:
            raise VagusError("expected the server to start", where=self.url, hint="see the log")

    def stop(self) -> None:
        """Finish what is being answered, and let go of the port. May be called twice."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._bound.close()

    def _run(self) -> None:
        assert self._server is not None
        try:
            asyncio.run(self._server.serve(sockets=[self._bound]))
        finally:
            self._bound.close()
            self._started.set()


class Serving(ABC):
    """What answers from `start` to `stop`, or for the time of a `with`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._web: Web | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return url_of(self.host, self.port)

    @abstractmethod
    def start(self) -> Self:
        """Answer from now on.

        Raises VagusError if the port is taken or the extra `serve` is not installed.
        """

    def stop(self) -> None:
        """Finish what is being answered, and stop. May be called twice."""
        if self._web is not None:
            self._web.stop()
            self._web = None

    def _bind(self) -> Web:
        """Take the port, which `port` then says."""
        self._web = Web(self.host, self.port)
        self.port = self._web.port
        return self._web

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def url_of(host: str, port: int) -> str:
    """The URL of a host and a port."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_extra() -> None:
    """Say at once what is missing."""
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise VagusError(
            f"expected the extra 'serve', which answers over HTTP: {error}",
            hint='pip install "vagus[serve]"',
        ) from None


def _server(api: Any, started: threading.Event) -> uvicorn.Server:
    import uvicorn

    class Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    return Telling(
        uvicorn.Config(
            api,
            # The faster httptools loses the body of a request that offers HTTP/2, as Java's does.
            http="h11",
            log_config=None,  # how a program logs is its own business
            log_level="error",  # such as a client that would rather speak HTTP/2 warns of
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=_LAST_ANSWERS_S,
        )
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once, without waiting for more, only where the protocol is named.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        # Now, so that a second server of the same port is refused here, and says so.
        bound.listen(2048)
    except (OSError, OverflowError) as error:
        bound.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        what = "it is in use" if taken else str(error)
        raise VagusError(
            f"expected a port to serve on, got {host}:{port}: {what}",
            hint="choose another port, or 0 for any that is free",
        ) from None
    return bound
