"""How a cluster is reached is put together from four places, and secrets are never shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.hubs import records
from vagus.errors import HubError
from vagus.hub import TopicConfig, TopicPartition, connect
from vagus.hub.kafka.hub import KafkaHub
from vagus.hub.kafka.settings import KafkaSettings, is_secret

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster


def settings(
    url: str = "kafka://a", properties: dict[str, object] | None = None, **environ: str
) -> KafkaSettings:
    return KafkaSettings.of(url, properties, environ)


def test_a_host_without_a_port_has_kafkas() -> None:
    assert settings("kafka://a,b:9192,[::1],[::1]:9292").servers == (
        "a:9092,b:9192,[::1]:9092,[::1]:9292"
    )


@pytest.mark.parametrize("url", ["kafka://", "kafka://a b", "kafka://a:b", "kafka://:9092"])
def test_an_address_without_a_host_is_refused(url: str) -> None:
    with pytest.raises(HubError, match="expected kafka://host:port"):
        settings(url)


def test_later_places_win(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("# comment\n\nclient.id = file\nlinger.ms=1\ncheck.crcs=true\na.b=x=y\n")
    found = settings(
        "kafka://a?client.id=address&check.crcs=false",
        {"client.id": "argument"},
        VAGUS_KAFKA_CONFIG=str(file),
        VAGUS_KAFKA_CLIENT_ID="environment",
        VAGUS_KAFKA_LINGER_MS="2",
        HOME="/",
    )
    assert found.properties == {
        "client.id": "argument",
        "linger.ms": "2",
        "check.crcs": "false",
        "a.b": "x=y",
    }


def test_the_address_may_name_the_file(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("sasl.password=secret\n")
    found = settings(f"kafka://a?config={file}")
    assert found.properties == {"sasl.password": "secret"}


def test_another_process_reaches_the_same_cluster_by_the_url(tmp_path: Path) -> None:
    file = tmp_path / "kafka.properties"
    file.write_text("sasl.password=secret\n")
    given = settings(f"kafka://a?config={file}&client.id=x&replication=3", {"check.crcs": True})
    again = settings(given.url)
    assert again == given
    assert again.properties["check.crcs"] == "true"


@pytest.mark.parametrize("text", [None, "no equals sign"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "kafka.properties"
    if text is not None:
        file.write_text(text)
    with pytest.raises(HubError, match=r"kafka\.properties"):
        settings(VAGUS_KAFKA_CONFIG=str(file))


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
    ],
)
def test_a_secret_in_the_address_is_refused_and_not_repeated(name: str) -> None:
    assert is_secret(name)
    with pytest.raises(HubError, match=name.upper().replace(".", "_")) as told:
        settings(f"kafka://a?{name}=sesame")
    assert "sesame" not in str(told.value)


@pytest.mark.parametrize(
    "name",
    [
        "ssl.key.location",
        "ssl.ca.pem",
        "ssl.certificate.pem",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.username",
    ],
)
def test_what_is_no_secret_may_be_in_the_address(name: str) -> None:
    assert settings(f"kafka://a?{name}=x").properties == {name: "x"}


def test_a_password_before_the_host_is_refused_and_not_repeated() -> None:
    with pytest.raises(HubError, match="SASL_PASSWORD") as told:
        settings("kafka://me:sesame@a:9092")
    assert "sesame" not in str(told.value)


def test_secrets_are_not_shown() -> None:
    found = settings(
        properties={"sasl.password": "sesame", "client.id": "x"}, VAGUS_KAFKA_SSL_KEY_PEM="sesame"
    )
    assert found.properties["ssl.key.pem"] == "sesame"
    assert found.url == "kafka://a:9092?client.id=x"
    assert "sesame" not in repr(found)


@pytest.mark.parametrize("name", ["isolation.level", "enable.idempotence", "group.id", "acks"])
def test_what_the_promises_hang_on_cannot_be_set(name: str) -> None:
    with pytest.raises(HubError, match=f"got '{name}'"):
        settings(f"kafka://a?{name}=x")


def test_a_property_that_the_client_does_not_know_is_named() -> None:
    with pytest.raises(HubError, match=r"no\.such\.thing"):
        connect("kafka://127.0.0.1:1?no.such.thing=1")


def test_without_the_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("vagus.hub.kafka")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(HubError, match=r"pip install 'vagus\[kafka\]'"):
        connect("kafka://a")


def test_topics_get_the_replicas_that_the_address_asks_for(kafka: Cluster) -> None:
    with connect(f"kafka://{kafka.bootstrap}?replication=1&min.insync.replicas=2") as hub:
        assert isinstance(hub, KafkaHub)
        hub.create_topic("replicated", TopicConfig())
        assert hub.admin.settings("replicated")["min.insync.replicas"] == "2"
        hub.delete_topic("replicated")


def test_more_replicas_than_brokers_are_refused_with_what_to_do(kafka: Cluster) -> None:
    with (
        connect(f"kafka://{kafka.bootstrap}?replication=2") as hub,
        pytest.raises(HubError, match=r"(?i)replication factor.*\?replication=1"),
    ):
        hub.create_topic("too-often", TopicConfig())


def test_any_property_of_the_client_is_passed_on(kafka: Cluster) -> None:
    large = [(TopicPartition("small", 0), records([b"x" * 2000]))]
    with connect(f"kafka://{kafka.bootstrap}?message.max.bytes=1000") as hub:
        hub.create_topic("small", TopicConfig())
        with pytest.raises(HubError, match="at most 1000 bytes"):
            hub.append(large)
        hub.delete_topic("small")
