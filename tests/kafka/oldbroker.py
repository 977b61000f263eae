"""A broker of the year 2016, as a client sees it: without idempotence and transactions."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_UNSUPPORTED_VERSION = 35
_METADATA, _API_VERSIONS = 3, 18
# What Kafka 0.10.0 answered to: API, oldest and newest version.
_KNOWN = [
    *((0, 0, 2), (1, 0, 2), (2, 0, 0), (3, 0, 1), (4, 0, 0), (5, 0, 0), (6, 0, 2), (7, 1, 1)),
    *((8, 0, 2), (9, 0, 1), (10, 0, 0), (11, 0, 0), (12, 0, 0), (13, 0, 0), (14, 0, 0)),
    *((15, 0, 0), (16, 0, 0), (17, 0, 0), (18, 0, 0)),
]


class OldBroker:
    """Listens at `address` until it is closed. It has no topics."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> OldBroker:
        return self

    def __exit__(self, *error: object) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError):
            while True:
                (size,) = struct.unpack(">i", _exactly(connection, 4))
                api, version, number = struct.unpack(">hhi", _exactly(connection, size)[:8])
                body = self._body(api, version)
                if body is None:  # as brokers do with what they can't read
                    break
                connection.sendall(struct.pack(">ii", len(body) + 4, number) + body)
        connection.close()

    def _body(self, api: int, version: int) -> bytes | None:
        if api == _API_VERSIONS:
            error = 0 if version == 0 else _UNSUPPORTED_VERSION
            ranges = b"".join(struct.pack(">hhh", *each) for each in _KNOWN)
            return struct.pack(">hi", error, len(_KNOWN)) + ranges
        if api == _METADATA and version <= 1:
            host = b"127.0.0.1"
            broker = struct.pack(">ih", 1, len(host)) + host + struct.pack(">i", self._port)
            if version == 1:
                broker += struct.pack(">hi", -1, 1)  # no rack; the controller is broker 1
            return struct.pack(">i", 1) + broker + struct.pack(">i", 0)  # no topics
        return None


def _exactly(connection: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts
