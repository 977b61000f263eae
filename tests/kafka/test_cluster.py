"""The brokers that other tests rely on are what they say."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.kafka.cluster import PASSWORD, USER, Cluster
from tests.kafka.fixtures import one_at_a_time

PATIENCE_S = 60.0


def _eventually(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)


def _offset(address: str, topic: str, **settings: str) -> int:
    """Produce one message; where it came to lie. That one broker of several is down is no error."""
    wrong: list[KafkaError] = []
    where: list[int] = []

    def complain(error: KafkaError) -> None:
        if error.code() == KafkaError._AUTHENTICATION or "certificate" in error.str():
            wrong.append(error)

    def reported(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            wrong.append(error)
        else:
            where.append(message.offset() or 0)

    def settled() -> bool:
        producer.poll(0.05)
        return bool(where or wrong)

    quiet = {"log_level": 0, "error_cb": complain}
    producer = Producer({"bootstrap.servers": address, **quiet, **settings})
    producer.produce(topic, b"x", partition=0, callback=reported)
    _eventually(settled, "it is written")
    if not where:
        producer.purge()
        raise KafkaException(wrong[0])
    return where[0]


def _create(cluster: Cluster, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for done in admin.create_topics([NewTopic(topic, 1, -1)]).values():
        done.result(30)


def test_a_broker_takes_and_gives(kafka: Cluster) -> None:
    _create(kafka, "cluster-takes")
    assert _offset(kafka.bootstrap, "cluster-takes") == 0


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_a_password_is_asked_for(secured_kafka: Cluster, mechanism: str) -> None:
    topic = f"cluster-{mechanism}"
    _create(secured_kafka, topic)
    assert secured_kafka.certificates is not None
    login = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(secured_kafka.certificates.authority),
        "sasl.mechanism": mechanism,
        "sasl.username": USER,
    }
    address = secured_kafka.listener("SASL_SSL")
    assert _offset(address, topic, **login, **{"sasl.password": PASSWORD}) == 0
    with pytest.raises(KafkaException, match="Authentication failed"):
        _offset(address, topic, **login, **{"sasl.password": "another"})


def test_a_certificate_is_asked_for(secured_kafka: Cluster) -> None:
    _create(secured_kafka, "cluster-tls")
    files = secured_kafka.certificates
    assert files is not None
    trust = {"security.protocol": "SSL", "ssl.ca.location": str(files.authority)}
    own = {
        "ssl.certificate.location": str(files.client),
        "ssl.key.location": str(files.client_key),
    }
    assert _offset(secured_kafka.listener("SSL"), "cluster-tls", **trust, **own) == 0
    with pytest.raises(KafkaException, match="bad certificate"):
        _offset(secured_kafka.listener("SSL"), "cluster-tls", **trust)
    with pytest.raises(KafkaException, match="certificate verify failed"):
        _offset(secured_kafka.listener("EXPIRED"), "cluster-tls", **trust)


@pytest.fixture(scope="module")
def three(brokers: None) -> Iterator[Cluster]:
    with Cluster(3, proxied=True) as cluster:
        yield cluster


@one_at_a_time
def test_another_broker_leads_when_the_leader_is_killed(three: Cluster) -> None:
    _create(three, "led")
    _offset(three.bootstrap, "led", acks="all")
    killed = three.leader("led")
    three.kill(killed)
    _eventually(lambda: three.leader("led") != killed, "another broker leads")
    assert _offset(three.bootstrap, "led", acks="all") == 1
    three.revive(killed)
    three.wait_in_sync()


@one_at_a_time
def test_clients_go_through_the_proxies(three: Cluster) -> None:
    _create(three, "proxied")
    idempotent = {"enable.idempotence": "true", "retry.backoff.ms": "50"}
    assert _offset(three.proxied_bootstrap, "proxied", **idempotent) == 0
    for proxy in three.proxies:
        proxy.part()
    with pytest.raises(KafkaException, match="timed out"):
        _offset(three.proxied_bootstrap, "proxied", **idempotent, **{"message.timeout.ms": "2000"})
    for proxy in three.proxies:
        proxy.heal()
    assert _offset(three.proxied_bootstrap, "proxied", **idempotent) == 1


_ORPHAN = """
import sys, time
from tests.kafka.cluster import Cluster
cluster = Cluster().start()
print(cluster.nodes[0].pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_killed_process_leaves_no_broker_behind(brokers: None) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _ORPHAN],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with parent:
        assert parent.stdout is not None
        broker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    _eventually(lambda: not _runs(broker), "the broker is gone")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
