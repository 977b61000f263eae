"""The broker to develop with starts, keeps its data, and says what is in its way."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from tests.kafka import broker, jars
from tests.kafka.cluster import new_folder
from tests.kafka.node import free_ports


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory, where that can be: a broker at its end waits for the disk."""
    made = new_folder()
    yield made
    shutil.rmtree(made)


def test_data_stays_when_the_broker_is_stopped_and_started(
    brokers: None, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (port,) = free_ports(1)
    try:
        broker.start(port, folder)
        assert f"vagus run app.py --hub kafka://localhost:{port}" in capsys.readouterr().out
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
        for done in admin.create_topics([NewTopic("kept", 1, 1)]).values():
            done.result(30)
        broker.stop(folder)
        broker.start(port, folder)
        assert "kept" in admin.list_topics(timeout=30).topics
        broker.start(port, folder)
        assert "is running already" in capsys.readouterr().out
    finally:
        broker.stop(folder)
    broker.stop(folder)
    assert "no broker is running" in capsys.readouterr().out


def test_a_port_that_is_taken_is_named(brokers: None, tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(broker.Refused, match="is taken by another program"),
    ):
        broker.start(taken.getsockname()[1], tmp_path)


def test_without_java_one_line_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    jars.java.cache_clear()
    try:
        with pytest.raises(jars.Missing, match="there is no java: apt-get install") as told:
            jars.fetch()
        assert "\n" not in str(told.value)
    finally:
        jars.java.cache_clear()


def test_a_java_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    jars.java.cache_clear()
    try:
        with pytest.raises(jars.Missing, match=r'java is openjdk version "11\.0\.2": apt-get'):
            jars.fetch()
    finally:
        jars.java.cache_clear()
