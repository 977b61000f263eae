"""What people get wrong about a cluster is one line that says what to do, and never a hang."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlencode

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.contract.cluster import clean
from tests.contract.hubs import eventually, records
from tests.kafka import certificates
from tests.kafka.cluster import PASSWORD, USER, Cluster
from tests.kafka.fixtures import one_at_a_time
from tests.kafka.node import free_ports
from tests.kafka.old import TOO_OLD, OldBroker
from vagus.cli import main
from vagus.cli.appfile import load_app
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.runtime.provision import provision

# What is promised is 10 seconds; the rest is for a machine that has other things to do.
WITHIN_S = 10.0 + 5.0
HANGS_S = 60.0

Fails = Callable[..., list[str]]


APP = """
import vagus as vg

class Order(vg.Event):
    account: str

class Account(vg.Event):
    account: str

app = vg.App("mistaken")
orders = app.topic("mistaken-order", Order, key="account", partitions=4)
orders.group_by("account").agg(count=vg.count()).to_table("mistaken-count")
"""
RUN = ("run", "app.py")
PRODUCE = ("produce", "mistaken-order", "orders.jsonl", "--key", "account")
CONSUME = ("consume", "mistaken-order")
COMMANDS = (RUN, PRODUCE, CONSUME)


@pytest.fixture
def fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Fails:
    """Runs commands that must fail with one line each, soon; the lines."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "orders.jsonl").write_text('{"account": "ada"}\n')

    def one(command: Sequence[str]) -> str:
        capfd.readouterr()
        watchdog = threading.Timer(HANGS_S, signal.raise_signal, [signal.SIGTERM])
        watchdog.start()
        start_s = time.monotonic()
        code = main(command)
        took_s = time.monotonic() - start_s
        watchdog.cancel()
        out, err = capfd.readouterr()
        assert code == 1, f"vagus {' '.join(command)} ended with {code}\n{out}{err}"
        assert took_s < WITHIN_S, f"it took {took_s:.1f} s: {err}"
        *notes, last = err.splitlines()
        assert all(note.startswith(("running mistaken on", "created topic")) for note in notes), err
        assert last.startswith("vagus: ")
        assert PASSWORD not in err
        return last

    def all_of(hub: str, commands: Sequence[Sequence[str]] = COMMANDS) -> list[str]:
        return [one((*command, "--hub", hub)) for command in commands]

    return all_of


@pytest.fixture
def cluster(kafka: Cluster) -> Iterator[Cluster]:
    """The broker, without anything that another test has left."""
    clean(kafka.bootstrap)
    yield kafka
    clean(kafka.bootstrap)


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


def test_no_broker_at_that_address(fail: Fails) -> None:
    (port,) = free_ports(1)
    for said in fail(f"kafka://127.0.0.1:{port}"):
        assert f"127.0.0.1:{port}" in said
        assert "is it running there" in said


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of something that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_something_that_never_answers(fail: Fails, silent: str) -> None:
    for said in fail(f"kafka://{silent}"):
        assert silent in said


def test_a_server_of_another_kind(fail: Fails) -> None:
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
        for said in fail(f"kafka://{address}"):
            assert address in said
        listener.shutdown(socket.SHUT_RDWR)


def test_a_broker_that_is_too_old(fail: Fails, brokers: None) -> None:
    with OldBroker(TOO_OLD) as broker:
        for said in fail(f"kafka://{broker.bootstrap}"):
            assert broker.bootstrap in said
            assert "the broker is too old" in said
            assert "Kafka 2.5 or newer" in said


def test_a_wrong_password(fail: Fails, login: Callable[..., str]) -> None:
    for said in fail(login(password="not-this-one")):
        assert "127.0.0.1:" in said
        assert "VAGUS_KAFKA_SASL_PASSWORD" in said
        assert "not-this-one" not in said


def test_an_expired_certificate(fail: Fails, login: Callable[..., str]) -> None:
    for said in fail(login("EXPIRED")):
        assert "the certificate of 127.0.0.1:" in said
        assert "certificate has expired" in said
        assert "have it renewed" in said


def test_a_certificate_of_an_authority_that_is_not_trusted(
    fail: Fails, secured_kafka: Cluster, tmp_path: Path
) -> None:
    other = certificates.make(tmp_path / "other").authority
    asked = urlencode({"security.protocol": "SSL", "ssl.ca.location": str(other)})
    for said in fail(f"kafka://{secured_kafka.listener('EXPIRED')}?{asked}"):
        assert "the certificate of 127.0.0.1:" in said
        assert "ssl.ca.location" in said


def test_a_certificate_that_is_asked_for_and_not_given(
    fail: Fails, login: Callable[..., str]
) -> None:
    for said in fail(login("SSL")):
        assert "127.0.0.1:" in said
        assert "ssl.certificate.location" in said


def test_no_encryption_where_the_broker_wants_it(fail: Fails, secured_kafka: Cluster) -> None:
    address = secured_kafka.listener("SASL_SSL")
    for said in fail(f"kafka://{address}"):
        assert address in said
        assert "security.protocol" in said


def test_a_topic_that_is_missing(fail: Fails, cluster: Cluster) -> None:
    for said in fail(f"kafka://{cluster.bootstrap}", [CONSUME, (*CONSUME, "--group", "mistaken")]):
        assert "no topic 'mistaken-order'" in said
        assert "vagus topic create" in said


def test_topics_that_need_the_same_number_of_partitions(
    fail: Fails, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "app.py").write_text(
        APP.replace("orders.group_by", "# ")
        + 'accounts = app.table("mistaken-account", Account, key="account", partitions=3)\n'
        + 'orders.join(accounts).to("mistaken-joined")\n'
    )
    for said in fail(f"kafka://{cluster.bootstrap}", [RUN, (*RUN, "--workers", "2")]):
        assert "mistaken-order has 4" in said
        assert "mistaken-account has 3" in said
        assert "--partitions" in said


def test_state_that_was_kept_for_another_number_of_partitions(
    fail: Fails, cluster: Cluster, tmp_path: Path
) -> None:
    app = load_app(str(tmp_path / "app.py"))
    with connect(f"kafka://{cluster.bootstrap}") as hub:
        provision(hub, app.name, app.topology)
        hub.alter_topic("mistaken-order", TopicConfig(partitions=6))
        for said in fail(hub.url, [RUN, (*RUN, "--workers", "2")]):
            assert "-changelog' to have 6 partitions" in said
            assert "got 4" in said


def test_a_message_that_is_too_large(fail: Fails, cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "large.jsonl").write_text(f'{{"text": "{"x" * 2_000_000}"}}\n')
    (said,) = fail(f"kafka://{cluster.bootstrap}", [("produce", "mistaken-large", "large.jsonl")])
    assert "mistaken-large" in said
    assert "max.message.bytes" in said


def test_a_message_that_only_the_broker_finds_too_large(
    fail: Fails, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "large.jsonl").write_text(f'{{"text": "{"x" * 2_000_000}"}}\n')
    (said,) = fail(
        f"kafka://{cluster.bootstrap}?message.max.bytes=9000000",
        [("produce", "mistaken-larger", "large.jsonl")],
    )
    assert "mistaken-larger" in said
    assert "max.message.bytes" in said


def test_a_registry_that_is_down(fail: Fails, cluster: Cluster) -> None:
    (port,) = free_ports(1)
    registry = f"http://127.0.0.1:{port}"
    with connect(f"kafka://{cluster.bootstrap}") as hub:
        hub.create_topic("mistaken-order", TopicConfig(partitions=4))
        hub.append([(TopicPartition("mistaken-order", 0), records([b"\0\0\0\0\1x"]))])
        for said in fail(hub.url, [(*command, "--registry", registry) for command in COMMANDS]):
            assert registry in said


@one_at_a_time
def test_replicas_that_are_not_there(fail: Fails, brokers: None) -> None:
    with Cluster(3) as cluster:
        hub = f"kafka://{cluster.bootstrap}"
        on_two_brokers(cluster, "mistaken-order")
        assert main([*PRODUCE, "--hub", hub]) == 0
        cluster.kill(2)
        cluster.wait_until_in_sync_are("mistaken-order", {1})
        (said,) = fail(hub, [PRODUCE])
        assert "mistaken-order[0]" in said
        assert "1 of 2 replicas" in said
        assert "min.insync.replicas" in said


@one_at_a_time
def test_a_worker_says_that_it_waits_for_replicas_and_goes_on_with_them(
    fail: Fails, brokers: None, tmp_path: Path
) -> None:
    with Cluster(3) as cluster:
        hub = f"kafka://{cluster.bootstrap}"
        on_two_brokers(cluster, "mistaken-count", **{"cleanup.policy": "compact"})
        with connect(hub) as opened:
            opened.create_topic("mistaken-order", TopicConfig(partitions=4))
        assert main([*PRODUCE, "--hub", hub]) == 0
        cluster.kill(2)
        cluster.wait_until_in_sync_are("mistaken-count", {1})
        command = [sys.executable, "-m", "vagus.cli", *RUN, "--hub", hub]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            watchdog = threading.Timer(2 * HANGS_S, process.kill)
            watchdog.start()
            try:
                assert process.stderr is not None
                lines = iter(process.stderr)
                next(line for line in lines if line.startswith("running mistaken on"))
                start_s = time.monotonic()
                said = next(line for line in lines if "mistaken-count[0]" in line)
                assert time.monotonic() - start_s < WITHIN_S, said
                assert "1 of 2 replicas" in said
                assert "min.insync.replicas" in said
                cluster.revive(2)
                place = TopicPartition("mistaken-count", 0)
                with connect(hub) as opened, opened.reader({place: 0}) as reader:
                    eventually(lambda: any(map(len, reader.read(wait_s=0.5))), "it was counted")
            finally:
                process.send_signal(signal.SIGINT)
                process.communicate()
                watchdog.cancel()
            assert process.returncode == 0


def on_two_brokers(cluster: Cluster, topic: str, **config: str) -> None:
    """Make a topic that can't be written to when one of them is down."""
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap, "log_level": 0})
    new = NewTopic(
        topic,
        num_partitions=1,
        replica_assignment=[[1, 2]],
        config={"min.insync.replicas": "2", **config},
    )
    admin.create_topics([new])[topic].result(30)
