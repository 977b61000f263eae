"""A network that can be spoilt: a TCP proxy that delays, drops and cuts, on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

_CHUNK = 1 << 16
_CHUNKS_MAX = 64  # on their way in one direction; then the sender has to wait
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Forwards connections at `port` to `target`, a port of this machine.

    What is set holds for open connections too, at once.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.target = target
        self.delay_s = 0.0  # of every chunk, in each direction
        self.drop_requests = False  # what clients send is lost
        self.drop_replies = False  # what is sent to clients is lost
        self.refusing = False  # new connections are reset
        self.connections: set[asyncio.StreamWriter] = set()  # both ends of each
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections; new ones are accepted."""
        self._do(self._cut())

    def part(self) -> None:
        """Reset all connections and refuse new ones, until `heal`."""
        self.refusing = True
        self.cut()

    def blackhole(self) -> None:
        """Lose all that is sent, in both directions, without a word, until `heal`."""
        self.drop_requests = self.drop_replies = True

    def heal(self) -> None:
        """Be a good network again. Connections from which something was lost are reset."""
        self._do(self._heal())

    def close(self) -> None:
        """Reset all connections and listen no more."""
        if self._loop.is_closed():
            return
        self._do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, sock=self._listener)

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with self._opened(back):
            if self.refusing:
                return
            try:
                far, forth = await asyncio.open_connection("127.0.0.1", self.target)
            except OSError:
                return
            with self._opened(forth):
                pumps = [
                    asyncio.ensure_future(self._pump(near, forth, "drop_requests")),
                    asyncio.ensure_future(self._pump(far, back, "drop_replies")),
                ]
                try:
                    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in pumps:
                        pump.cancel()
                    await asyncio.gather(*pumps, return_exceptions=True)

    @contextlib.contextmanager
    def _opened(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        """Whatever happens, it is reset at the end."""
        self.connections.add(writer)
        try:
            yield
        finally:
            self.connections.discard(writer)
            _reset(writer)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, dropped: str
    ) -> None:
        """Move bytes one way, each chunk when its delay is over, until an end closes."""
        loop = asyncio.get_running_loop()
        moving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_MAX)

        async def deliver() -> None:
            while True:
                due, chunk = await moving.get()
                if due > loop.time():
                    await asyncio.sleep(due - loop.time())
                if not chunk:
                    return
                sink.write(chunk)
                await sink.drain()

        delivering = asyncio.ensure_future(deliver())
        try:
            with contextlib.suppress(OSError):
                while not delivering.done():
                    chunk = await source.read(_CHUNK)
                    if not (chunk and getattr(self, dropped)):
                        await moving.put((loop.time() + self.delay_s, chunk))
                    if not chunk:
                        await delivering
                        return
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)

    async def _cut(self) -> None:
        for writer in list(self.connections):
            _reset(writer)

    async def _heal(self) -> None:
        # In one step: no connection may carry anything behind a hole.
        if self.drop_requests or self.drop_replies:
            await self._cut()
        self.delay_s = 0.0
        self.drop_requests = self.drop_replies = self.refusing = False

    async def _stop(self) -> None:
        assert self._server is not None
        self._server.close()
        # A connection that has been accepted gets its task a little later.
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # for connections to hear that they are lost


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close without a goodbye, as a broken network does."""
    taken = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if taken is not None and taken.fileno() >= 0:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
