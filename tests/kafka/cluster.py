"""Real Kafka for tests and benchmarks: one broker or several, started in seconds.

    with Cluster(3) as kafka:
        connect(f"kafka://{kafka.bootstrap}")

Data is kept in memory where there is /dev/shm, and is gone at the end, as all processes are. Groups
hear of changes within a fraction of a second, unlike with a broker's defaults.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kafka.node import PATIENCE_S, Node, free_ports, new_cluster_id
from tests.kafka.proxy import Proxy

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient, ClusterMetadata, PartitionMetadata

    from tests.kafka.certificates import Certificates

USER, PASSWORD = "vagus", "vagus-pw"
SECURE_LISTENERS = ("SASL_SSL", "SSL", "EXPIRED")

QUICK_GROUPS = {
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.heartbeat.interval.ms": "300",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.session.timeout.ms": "500",
}
# Tests write events of long ago. To a broker their segment is as old as its first event, so one
# marker or event of now has it begin another one (log.roll.ms, a week), and its cleaner compacts
# the old one in the midst of a test, after its first 15 s. What is not rolled is not compacted.
UNCOMPACTED = {"log.roll.ms": str((1 << 63) - 1)}
_SMALL = {
    "auto.create.topics.enable": "false",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
    "log.index.size.max.bytes": str(1 << 20),
    "log.segment.delete.delay.ms": "1000",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
}
_ALONE = {
    # Nobody else could take over from a single broker that a busy machine keeps waiting.
    "broker.session.timeout.ms": "60000",
}
_QUICK_FAILOVER = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "300",
    "controller.quorum.fetch.timeout.ms": "2000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.election.backoff.max.ms": "300",
    "controller.quorum.request.timeout.ms": "1000",
    "replica.lag.time.max.ms": "3000",
    "leader.imbalance.check.interval.seconds": "5",
    "replica.fetch.wait.max.ms": "100",
}


class Cluster:
    """Brokers that live as long as the `with`, and never longer than this process.

    `properties` are further settings of every broker. `proxied` gives each broker a second
    address, a Proxy's (`proxies`, in the order of `nodes`); clients that start at
    `proxied_bootstrap` go through proxies all the time. `secured` adds the listeners of
    SECURE_LISTENERS: SASL_SSL takes USER and PASSWORD by SCRAM and PLAIN, and unsecured
    OAUTHBEARER tokens; SSL wants the client's certificate; EXPIRED is SSL whose certificate is out
    of date.
    """

    def __init__(
        self,
        nodes: int = 1,
        *,
        properties: Mapping[str, str] | None = None,
        proxied: bool = False,
        secured: bool = False,
        heap_mb: int = 400,
    ) -> None:
        self.folder = new_folder()
        self.certificates = _certificates(self.folder) if secured else None
        self.proxies: list[Proxy] = []
        self._listeners = ["PLAINTEXT", "CONTROLLER"]
        self._listeners += SECURE_LISTENERS if secured else ()
        self._listeners += ["PROXIED"] if proxied else []
        width = len(self._listeners)
        ports = free_ports(width * nodes)
        self._ports = {
            number: dict(zip(self._listeners, ports[(number - 1) * width :], strict=False))
            for number in range(1, nodes + 1)
        }
        if proxied:
            self.proxies = [Proxy(ports["PROXIED"]) for ports in self._ports.values()]
        self.nodes = [
            Node(
                number,
                self.folder / f"node-{number}",
                self._properties(number) | dict(properties or {}),
                heap_mb=heap_mb,
            )
            for number in self._ports
        ]
        self._admin: AdminClient | None = None

    def start(self) -> Cluster:
        """Format and start all brokers; wait until every one is known to the others."""
        cluster_id = new_cluster_id()
        users = [
            f"{mechanism}=[name={USER},password={PASSWORD}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            if self.certificates
        ]
        formatting = [node.format(cluster_id, users) for node in self.nodes]
        for node, process in zip(self.nodes, formatting, strict=True):
            if process.wait() != 0:
                raise RuntimeError(f"could not format node {node.number}: {node.log.read_text()}")
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_until_ready()
        self._wait(lambda seen: len(seen.brokers) == len(self.nodes), "all brokers are known")
        return self

    def close(self) -> None:
        """End all processes and remove the data."""
        self._admin = None
        for node in self.nodes:
            node.kill()
        for proxy in self.proxies:
            proxy.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Cluster:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *error: object) -> None:
        self.close()

    # Addresses

    @property
    def bootstrap(self) -> str:
        """Addresses for plain clients: `host:port,host:port`."""
        return self.listener("PLAINTEXT")

    @property
    def proxied_bootstrap(self) -> str:
        """Addresses for plain clients that go through the proxies."""
        return ",".join(proxy.address for proxy in self.proxies)

    def listener(self, name: str) -> str:
        """Addresses for clients of one kind, see SECURE_LISTENERS."""
        return ",".join(f"127.0.0.1:{ports[name]}" for ports in self._ports.values())

    # What can happen to a broker; node numbers begin at 1

    def kill(self, number: int) -> None:
        """End a broker as a power cut does (kill -9)."""
        self.nodes[number - 1].kill()

    def stop(self, number: int) -> None:
        """Have a broker hand over what it leads, and end."""
        self.nodes[number - 1].stop()

    def freeze(self, number: int) -> None:
        """Stop a broker in its tracks (SIGSTOP); its connections stay open."""
        self.nodes[number - 1].freeze()

    def thaw(self, number: int) -> None:
        """Let a frozen broker go on."""
        self.nodes[number - 1].thaw()

    def revive(self, number: int) -> None:
        """Start a broker that was killed or stopped, and wait until it has said that it is up."""
        self.nodes[number - 1].start()
        self.nodes[number - 1].wait_until_ready()

    def restart(self, number: int) -> None:
        """Stop a broker, start it, and wait until all replicas are in sync."""
        self.stop(number)
        self.revive(number)
        self.wait_in_sync()

    # What the cluster knows

    def leader(self, topic: str, partition: int = 0) -> int:
        """The number of the broker that leads a partition."""
        return self._led(topic, partition).leader

    def replicas(self, topic: str, partition: int = 0) -> set[int]:
        """The numbers of the brokers that have a partition."""
        return set(self._led(topic, partition).replicas)

    def _led(self, topic: str, partition: int) -> PartitionMetadata:
        found: list[PartitionMetadata] = []

        def led(seen: ClusterMetadata) -> bool:
            entry = seen.topics.get(topic)
            found[:] = [entry.partitions[partition]] if entry and entry.partitions else []
            return bool(found) and found[0].leader > 0

        self._wait(led, f"{topic} has a leader")
        return found[0]

    def controller(self) -> int:
        """The number of the broker that is the active controller; -1 while one is elected."""
        votes = [
            json.loads((node.folder / "data/__cluster_metadata-0/quorum-state").read_text())
            for node in self.nodes
        ]
        return max((int(vote["leaderEpoch"]), int(vote["leaderId"])) for vote in votes)[1]

    def views(self) -> str:
        """What each broker says of all, for somebody who wants to know what is wrong."""
        return "\n".join(map(self._view, self.nodes))

    def _view(self, node: Node) -> str:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        address = f"127.0.0.1:{self._ports[node.number]['PLAINTEXT']}"
        try:
            seen = AdminClient({"bootstrap.servers": address, "log_level": 0}).list_topics(
                timeout=3
            )
        except KafkaException as error:
            return f"--- node {node.number}: {error}"
        parts = [
            f"{topic.topic}[{part.id}] led by {part.leader}, in sync {part.isrs}"
            for topic in seen.topics.values()
            for part in topic.partitions.values()
        ]
        return "\n".join([f"--- node {node.number} knows {sorted(seen.brokers)}", *parts])

    def wait_in_sync(self) -> None:
        """Wait until every partition has a leader and all its replicas are in sync."""

        def whole(seen: ClusterMetadata) -> bool:
            return len(seen.brokers) == len(self.nodes) and all(
                part.leader > 0 and set(part.isrs) == set(part.replicas)
                for topic in seen.topics.values()
                for part in topic.partitions.values()
            )

        self._wait(whole, "all replicas are in sync")

    def wait_until_in_sync_are(self, topic: str, numbers: set[int], partition: int = 0) -> None:
        """Wait until these brokers, and no others, have a partition's replicas in sync."""

        def look(seen: ClusterMetadata) -> bool:
            entry = seen.topics.get(topic)
            return entry is not None and set(entry.partitions[partition].isrs) == numbers

        self._wait(look, f"the replicas of {topic} in sync are on {numbers}")

    def _wait(self, look: object, what: str) -> None:
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        assert callable(look)
        if self._admin is None:
            self._admin = AdminClient(
                {
                    "bootstrap.servers": self.bootstrap,
                    "log_level": 0,
                    "reconnect.backoff.max.ms": 500,
                }
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if look(self._admin.list_topics(timeout=2)):
                    return
            except KafkaException as error:
                what = f"{what} ({error})"[:300]
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain until {what}; logs are in {self.folder}")
            time.sleep(0.05)

    # Settings

    def _properties(self, number: int) -> dict[str, str]:
        ports, folder = self._ports[number], self.folder / f"node-{number}"
        kinds = {name: name for name in ("PLAINTEXT", "SASL_SSL", "SSL")}
        kinds |= {"CONTROLLER": "PLAINTEXT", "PROXIED": "PLAINTEXT", "EXPIRED": "SSL"}
        advertised = {name: ports[name] for name in self._listeners if name != "CONTROLLER"}
        if self.proxies:
            advertised["PROXIED"] = self.proxies[number - 1].port
        replicas, spare = min(3, len(self._ports)), 2 if len(self._ports) > 1 else 1
        return {
            "process.roles": "broker,controller",
            "node.id": str(number),
            "controller.quorum.voters": ",".join(
                f"{other}@127.0.0.1:{its['CONTROLLER']}" for other, its in self._ports.items()
            ),
            "listeners": _addresses(ports),
            "advertised.listeners": _addresses(advertised),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(
                f"{name}:{kinds[name]}" for name in self._listeners
            ),
            "log.dirs": str(folder / "data"),
            "default.replication.factor": str(replicas),
            "min.insync.replicas": str(spare),
            "offsets.topic.replication.factor": str(replicas),
            "transaction.state.log.replication.factor": str(replicas),
            "transaction.state.log.min.isr": str(spare),
            "share.coordinator.state.topic.replication.factor": str(replicas),
            "share.coordinator.state.topic.min.isr": str(spare),
            **_SMALL,
            **UNCOMPACTED,
            **QUICK_GROUPS,
            **(_QUICK_FAILOVER if len(self._ports) > 1 else _ALONE),
            **self._security(),
        }

    def _security(self) -> dict[str, str]:
        if self.certificates is None:
            return {}
        sasl = "listener.name.sasl_ssl"
        login = "org.apache.kafka.common.security"
        settings = {
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
            f"{sasl}.scram-sha-512.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
            f"{sasl}.scram-sha-256.sasl.jaas.config": f"{login}.scram.ScramLoginModule required;",
            f"{sasl}.plain.sasl.jaas.config": f"{login}.plain.PlainLoginModule required "
            f'user_{USER}="{PASSWORD}";',
            f"{sasl}.oauthbearer.sasl.jaas.config": f"{login}.oauthbearer.OAuthBearerLoginModule "
            f'required unsecuredLoginStringClaim_sub="{USER}";',
            "listener.name.ssl.ssl.client.auth": "required",
        }
        for name in SECURE_LISTENERS:
            listener = f"listener.name.{name.lower()}"
            held = self.certificates.expired if name == "EXPIRED" else self.certificates.broker
            settings[f"{listener}.ssl.keystore.type"] = "PEM"
            settings[f"{listener}.ssl.keystore.location"] = str(held)
            settings[f"{listener}.ssl.truststore.type"] = "PEM"
            settings[f"{listener}.ssl.truststore.location"] = str(self.certificates.authority)
        return settings


def _certificates(folder: Path) -> Certificates:
    from tests.kafka import certificates

    return certificates.make(folder / "certificates")


def new_folder() -> Path:
    """A folder, in memory if possible; those of processes that were killed are removed."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() else Path(tempfile.gettempdir())
    for left in base.glob("vagus-kafka-*"):
        if not _runs(int(left.name.split("-")[2])):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"vagus-kafka-{os.getpid()}-", dir=base))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
