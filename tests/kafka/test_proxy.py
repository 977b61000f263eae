"""The network between spoils what it is told to, and nothing else."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.contract.hubs import eventually
from tests.kafka.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that sends back what it is sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened: list[socket.socket] = []

    def echo(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            while chunk := connection.recv(1 << 16):
                connection.sendall(chunk)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(target=echo, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    with Proxy(listener.getsockname()[1]) as made:
        yield made
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def _connect(proxy: Proxy, timeout_s: float = 30.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout_s)


def _asked(connection: socket.socket, word: bytes = b"hello") -> bytes:
    connection.sendall(word)
    return connection.recv(1 << 16)


def test_bytes_go_through_both_ways(proxy: Proxy) -> None:
    sent = bytes(range(256)) * 10_000
    got = bytearray()
    with _connect(proxy) as connection:
        threading.Thread(target=connection.sendall, args=(sent,), daemon=True).start()
        while len(got) < len(sent):
            got += connection.recv(1 << 16)
    assert got == sent


def test_a_delay_holds_for_open_connections(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _asked(connection) == b"hello"
        proxy.delay_s = 0.2
        start_s = time.monotonic()
        assert _asked(connection) == b"hello"
        assert time.monotonic() - start_s >= 0.4


def test_a_cut_resets_open_connections_and_takes_new_ones(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _asked(connection) == b"hello"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with _connect(proxy) as connection:
        assert _asked(connection) == b"hello"


def test_a_parted_network_takes_no_connection_until_it_heals(proxy: Proxy) -> None:
    proxy.part()
    with pytest.raises(ConnectionResetError), _connect(proxy) as connection:
        _asked(connection)
    proxy.heal()
    with _connect(proxy) as connection:
        assert _asked(connection) == b"hello"


def test_a_black_hole_says_nothing(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _asked(connection) == b"hello"
        proxy.blackhole()
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            _asked(connection)
        connection.settimeout(30)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_server_that_is_gone_resets(proxy: Proxy) -> None:
    with Proxy(1) as nowhere, pytest.raises(ConnectionResetError), _connect(nowhere) as connection:
        _asked(connection)


def test_connections_that_are_being_made_when_it_closes_are_closed_too() -> None:
    with ExitStack() as held:
        full = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        target = full.getsockname()[1]
        for _ in range(2):  # nobody takes them: a further connection has to wait
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(("127.0.0.1", target))
        with Proxy(target) as proxy:
            for _ in range(3):
                held.enter_context(_connect(proxy))
            eventually(lambda: len(proxy.connections) == 3, "they are on their way")
        gc.collect()  # complains of what is left open
