"""What people get wrong about a cluster is one line that says what to do, and never a hang."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.kafka.cluster import PASSWORD, USER, Cluster
from tests.kafka.node import free_ports
from vagus.cli import main

# What is promised is 10 seconds; the rest is for a machine that has other things to do.
WITHIN_S = 10.0 + 5.0

Fails = Callable[..., str]


@pytest.fixture
def fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Fails:
    """Runs a command that must fail with one line, soon; the line."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        capfd.readouterr()
        start_s = time.monotonic()
        code = main(words)
        took_s = time.monotonic() - start_s
        out, err = capfd.readouterr()
        assert code == 1, f"vagus {' '.join(words)} ended with {code}\n{out}{err}"
        assert took_s < WITHIN_S, f"it took {took_s:.1f} s: {err}"
        err = err.splitlines()[-1]  # a note of what was begun may come before it
        assert err.startswith("vagus: ")
        return err

    return run


@pytest.fixture
def login(secured_kafka: Cluster, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The URL of a secured listener; settings that are given replace those that are right."""
    assert secured_kafka.certificates is not None
    authority = str(secured_kafka.certificates.authority)

    def url(listener: str = "SASL_SSL", password: str = PASSWORD, **settings: str) -> str:
        right = {"security.protocol": listener.replace("EXPIRED", "SSL")}
        right["ssl.ca.location"] = authority
        if listener == "SASL_SSL":
            right |= {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": USER}
            monkeypatch.setenv("VAGUS_KAFKA_SASL_PASSWORD", password)
        asked = urlencode(right | {name.replace("_", "."): of for name, of in settings.items()})
        return f"kafka://{secured_kafka.listener(listener)}?{asked}"

    return url


def test_no_broker_at_that_address(fails: Fails) -> None:
    (port,) = free_ports(1)
    assert f"127.0.0.1:{port}" in fails("topic", "list", "--hub", f"kafka://127.0.0.1:{port}")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_something_that_never_answers(fails: Fails, silent: str) -> None:
    assert silent in fails("topic", "list", "--hub", f"kafka://{silent}")


def test_a_server_of_another_kind(fails: Fails) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        assert address in fails("topic", "list", "--hub", f"kafka://{address}")
        listener.shutdown(socket.SHUT_RDWR)


def test_a_wrong_password(fails: Fails, login: Callable[..., str]) -> None:
    said = fails("topic", "list", "--hub", login(password="not-this-one"))
    assert "127.0.0.1:" in said
    assert "VAGUS_KAFKA_SASL_PASSWORD" in said
    assert "not-this-one" not in said


def test_a_certificate_that_is_asked_for_and_not_given(
    fails: Fails, login: Callable[..., str]
) -> None:
    said = fails("topic", "list", "--hub", login("SSL"))
    assert "127.0.0.1:" in said
    assert "certificate" in said


def test_no_encryption_where_the_broker_wants_it(fails: Fails, secured_kafka: Cluster) -> None:
    address = secured_kafka.listener("SASL_SSL")
    said = fails("topic", "list", "--hub", f"kafka://{address}")
    assert address in said
    assert "security.protocol" in said


def test_a_topic_that_is_missing(fails: Fails, kafka: Cluster) -> None:
    hub = f"kafka://{kafka.bootstrap}"
    assert "mistaken" in fails("consume", "mistaken", "--hub", hub)


APP = """
import vagus as vg

class Order(vg.Event):
    account: str

class Account(vg.Event):
    account: str

app = vg.App("mistaken-counts")
orders = app.topic("mistaken-order", Order, key="account", partitions=4)
accounts = app.table("mistaken-account", Account, key="account", partitions=3)
orders.join(accounts).to("mistaken-joined")
"""


def test_topics_that_need_the_same_number_of_partitions(
    fails: Fails, kafka: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(APP)
    said = fails("run", "app.py", "--hub", f"kafka://{kafka.bootstrap}")
    assert "mistaken-order" in said
    assert "mistaken-account" in said


def test_a_message_that_is_too_large(fails: Fails, kafka: Cluster, tmp_path: Path) -> None:
    hub = f"kafka://{kafka.bootstrap}"
    (tmp_path / "large.jsonl").write_text(f'{{"text": "{"x" * 2_000_000}"}}\n')
    said = fails("produce", "mistaken-large", "large.jsonl", "--hub", hub)
    assert "mistaken-large" in said
    assert "large" in said


def test_a_registry_that_is_down(fails: Fails, kafka: Cluster, tmp_path: Path) -> None:
    hub, (port,) = f"kafka://{kafka.bootstrap}", free_ports(1)
    (tmp_path / "some.jsonl").write_text('{"text": "hello"}\n')
    registry = f"http://127.0.0.1:{port}"
    said = fails(
        *("produce", "mistaken-registry", "some.jsonl", "--hub", hub, "--registry", registry)
    )
    assert registry in said
