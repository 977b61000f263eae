"""What a user of a cluster needs to be allowed, and what is said where it isn't."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from tests.contract.hubs import eventually
from tests.kafka.cluster import PASSWORD, USER, Cluster
from vagus.cli import main
from vagus.cli.appfile import load_app
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.runtime.runner import Runner

APP = """
import vagus as vg

class Order(vg.Event):
    account: str
    item: str

app = vg.App("guarded")
orders = app.topic("order", Order, key="account", partitions=2)
orders.group_by("item").agg(count=vg.count(), name="by-item").to_table("order-count")
"""
AUTHORIZER = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
ON_TOPICS = ("READ", "WRITE", "CREATE", "DESCRIBE_CONFIGS")

Says = Callable[..., str]


@pytest.fixture
def guarded(brokers: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A broker that allows its user nothing yet; whoever comes without a password may do all."""
    monkeypatch.setenv("VAGUS_KAFKA_SASL_PASSWORD", PASSWORD)
    properties = {"authorizer.class.name": AUTHORIZER, "super.users": "User:ANONYMOUS"}
    with Cluster(secured=True, properties=properties) as cluster:
        yield cluster


@pytest.fixture
def url(guarded: Cluster) -> str:
    assert guarded.certificates is not None
    asked = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(guarded.certificates.authority),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": USER,
    }
    return f"kafka://{guarded.listener('SASL_SSL')}?{urlencode(asked)}"


@pytest.fixture
def says(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Says:
    """Runs a command that must fail; its last line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "orders.jsonl").write_text('{"account": "ada", "item": "tea"}\n')

    def run(*command: str) -> str:
        capfd.readouterr()
        code = main([*command, "--hub", url])
        out, err = capfd.readouterr()
        assert code == 1, f"{command} ended with {code}\n{out}{err}"
        assert PASSWORD not in err
        return err.splitlines()[-1]

    return run


def allow(cluster: Cluster, kind: ResourceType, prefix: str, *operations: str) -> None:
    """Allow the user something on all names that begin so."""
    pattern, granted = ResourcePatternType.PREFIXED, AclPermissionType.ALLOW
    bindings = [
        AclBinding(kind, prefix, pattern, f"User:{USER}", "*", AclOperation[operation], granted)
        for operation in operations
    ]
    admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
    for done in admin.create_acls(bindings).values():
        done.result(30)


PRODUCE = ("produce", "order", "orders.jsonl", "--key", "account")


def test_what_is_not_allowed_is_named(guarded: Cluster, url: str, says: Says) -> None:
    said = says("run", "app.py")
    assert "topic 'order' is missing, and could not be created: not allowed" in said
    assert "`vagus topic create order --partitions 2 --hub 'kafka://" in said
    assert "_schemas" in says(*PRODUCE)

    with connect(f"kafka://{guarded.bootstrap}") as hub:
        hub.create_topic("order", TopicConfig(partitions=2))
    said = says("consume", "order")
    assert "not allowed" in said
    assert "order" in said
    assert "ACL" in said

    allow(guarded, ResourceType.TOPIC, "_schemas", *ON_TOPICS)
    assert "'vagus-schemas'" in says(*PRODUCE)

    for prefix in ("order", "guarded-", "_vagus"):
        allow(guarded, ResourceType.TOPIC, prefix, *ON_TOPICS)
    assert "group g" in says("consume", "order", "--group", "g")
    assert "writer 'guarded-" in says("run", "app.py")

    for prefix in ("guarded", "vagus-schemas"):
        allow(guarded, ResourceType.TRANSACTIONAL_ID, prefix, "WRITE")
    assert "group guarded" in says("run", "app.py")
    assert "group guarded" in says("run", "app.py", "--workers", "2")


def test_what_the_docs_ask_for_is_enough(guarded: Cluster, url: str, says: Says) -> None:
    for prefix in ("order", "guarded-", "_vagus", "_schemas"):
        allow(guarded, ResourceType.TOPIC, prefix, *ON_TOPICS)
    for prefix in ("guarded", "vagus-schemas"):
        allow(guarded, ResourceType.TRANSACTIONAL_ID, prefix, "WRITE")
    allow(guarded, ResourceType.TOPIC, "guarded-", "DELETE")
    allow(guarded, ResourceType.GROUP, "guarded", "READ")
    assert main([*PRODUCE, "--hub", url]) == 0
    with connect(url) as hub:
        runner = Runner(load_app("app.py"), hub)
        working = threading.Thread(target=runner.run)
        working.start()
        try:
            eventually(lambda: runner.metrics.count("records_out", "order-count") == 1, "counted")
            eventually(lambda: runner.lag() == 0, "nothing lags")
            hub.trim({TopicPartition("guarded-by-item-repartition", 0): 0})  # as workers do
        finally:
            runner.stop()
            working.join()
