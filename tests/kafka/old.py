"""Brokers of another age: the oldest that Vagus works with, and the newest that it refuses."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from tests.kafka.cluster import UNCOMPACTED, new_folder
from tests.kafka.node import PATIENCE_S, bound, free_ports, java

OLDEST = Path(__file__).parent / "old-2.5" / "pom.xml"
TOO_OLD = Path(__file__).parent / "old-2.4" / "pom.xml"


class OldBroker:
    """One broker and its ZooKeeper, of the version in a `pom.xml`, as long as the `with` lasts."""

    def __init__(self, pom: Path) -> None:
        self._pom = pom
        self._folder = new_folder()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._zookeeper, port = free_ports(2)
        self.bootstrap = f"127.0.0.1:{port}"

    def __enter__(self) -> OldBroker:
        zookeeper = {
            "dataDir": str(self._folder / "zookeeper"),
            "clientPort": str(self._zookeeper),
            "clientPortAddress": "127.0.0.1",
            "admin.enableServer": "false",
        }
        broker = {
            "broker.id": "1",
            "listeners": f"PLAINTEXT://{self.bootstrap}",
            "zookeeper.connect": f"127.0.0.1:{self._zookeeper}",
            "log.dirs": str(self._folder / "broker"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "500",
            "auto.create.topics.enable": "false",
            **UNCOMPACTED,
        }
        try:
            # The broker itself waits until ZooKeeper is there.
            self._start("org.apache.zookeeper.server.quorum.QuorumPeerMain", zookeeper)
            self._start("kafka.Kafka", broker)
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End both and remove the data."""
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, program: str, properties: dict[str, str]) -> None:
        settings = self._folder / f"{program}.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        with open(self._folder / "log", "ab") as log:
            self._processes.append(
                subprocess.Popen(
                    bound([*java(300, self._pom), program, str(settings)]),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _wait(self) -> None:
        log, deadline = self._folder / "log", time.monotonic() + PATIENCE_S
        while "[KafkaServer id=1] started" not in (said := log.read_text(errors="replace")):
            ended = any(process.poll() is not None for process in self._processes)
            if ended or time.monotonic() > deadline:
                raise RuntimeError(f"the old broker did not start: {said[-3000:]}")
            time.sleep(0.05)
