"""Every way to log in serves for all that a hub does, and no secret comes out of it."""

from __future__ import annotations

import logging
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.hubs import all_values, read_values, records
from tests.kafka.cluster import PASSWORD, USER
from vagus.errors import HubError
from vagus.hub import Hub, TopicConfig, TopicPartition, connect

if TYPE_CHECKING:
    from tests.kafka.cluster import Cluster

LOGINS = {
    "SSL": {"security.protocol": "SSL"},
    "PLAIN": {"sasl.mechanism": "PLAIN", "sasl.username": USER},
    "SCRAM-SHA-256": {"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": USER},
    "SCRAM-SHA-512": {"sasl.mechanism": "SCRAM-SHA-512", "sasl.username": USER},
    "OAUTHBEARER": {
        "sasl.mechanism": "OAUTHBEARER",
        "enable.sasl.oauthbearer.unsecure.jwt": "true",
    },
}
SECRETS = {
    "VAGUS_KAFKA_SASL_PASSWORD": PASSWORD,
    "VAGUS_KAFKA_SASL_OAUTHBEARER_CONFIG": f"principal={USER}",
}


def address(cluster: Cluster, way: str) -> str:
    files = cluster.certificates
    assert files is not None
    asked = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(files.authority)} | LOGINS[way]
    if way == "SSL":
        asked |= {
            "ssl.certificate.location": str(files.client),
            "ssl.key.location": str(files.client_key),
        }
    listener = cluster.listener("SSL" if way == "SSL" else "SASL_SSL")
    return f"kafka://{listener}?" + "&".join(f"{name}={text}" for name, text in asked.items())


def give(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """Set the secrets that belong to a login, as a user does."""
    for name, text in SECRETS.items():
        if ("OAUTHBEARER" in name) is (way == "OAUTHBEARER") and way != "SSL":
            monkeypatch.setenv(name, text)


@pytest.mark.parametrize("way", sorted(LOGINS))
def test_all_that_a_hub_does_is_done_by_this_login(
    secured_kafka: Cluster, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    give(monkeypatch, way)
    taken, made = TopicPartition(f"{way}-in", 0), TopicPartition(f"{way}-out", 0)
    with connect(address(secured_kafka, way)) as hub:
        hub.create_topic(taken.topic, TopicConfig())
        hub.create_topic(made.topic, TopicConfig())
        hub.append([(taken, records([b"1"]))])
        with hub.join(f"{way}-group", [taken.topic]) as member:
            assert read_values(member, 1) == {taken: [b"1"]}
            transaction = member.begin()
            transaction.append([(made, records([b"2"]))])
            transaction.commit({taken: 1})
        assert all_values(hub, [made]) == {made: [b"2"]}
        assert hub.committed(f"{way}-group", [taken]) == {taken: 1}


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-512"])
def test_a_refused_password_is_in_no_message_traceback_or_log(
    secured_kafka: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    way: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VAGUS_KAFKA_SASL_PASSWORD", "not-the-right-one")
    with pytest.raises(HubError) as raised:
        connect(address(secured_kafka, way))
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "refused the login" in shown
    assert "not-the-right-one" not in shown


APP = """
import vagus as vg

class Order(vg.Event):
    account: str

app = vg.App("logged-in")
app.topic("logged-in-order", Order, key="account").filter(True).to("logged-in-kept")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux shows them")
def test_no_process_of_a_running_application_has_a_secret_among_its_arguments(
    secured_kafka: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import psutil

    (tmp_path / "app.py").write_text(APP)
    way = "SCRAM-SHA-512"
    give(monkeypatch, way)
    url = address(secured_kafka, way)
    command = [sys.executable, "-m", "vagus.cli", "run", "app.py", "--workers", "2", "--hub", url]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            with connect(url) as hub:
                while workers(hub) < 2:
                    assert process.poll() is None, process.stdout and process.stdout.read()
            family = [psutil.Process(process.pid)]
            family += family[0].children(recursive=True)
            assert len(family) >= 3
            assert not [line for each in family for line in each.cmdline() if PASSWORD in line]
        finally:
            process.terminate()
            said, _ = process.communicate(timeout=60)
    assert PASSWORD not in said


def workers(hub: Hub) -> int:
    """How many members the application's group has."""
    there = "logged-in" in hub.groups()
    return len(hub.describe_group("logged-in").members) if there else 0
