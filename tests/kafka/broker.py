"""A broker to develop with: `python -m tests.kafka.broker start|stop`, or `make kafka`.

It keeps its data in `.kafka/`, and goes on in the background until it is stopped.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path

from tests.kafka import jars
from tests.kafka.cluster import QUICK_GROUPS
from tests.kafka.node import PATIENCE_S, Node, free_ports, new_cluster_id, port_is_free

FOLDER = Path(__file__).parents[2] / ".kafka"
PORT = 9092


class Refused(Exception):
    """Something that the caller has to put right."""


def start(port: int = PORT, folder: Path = FOLDER) -> None:
    """Start the broker, if it isn't running, and say how to use it."""
    if _running(folder) is not None:
        print(f"the broker is running already (data and log in {folder})")
        return
    if not port_is_free(port):
        raise Refused(f"port {port} is taken by another program: stop it, or make kafka PORT=9192")
    print("==> Kafka (the first time, Maven fetches it)", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    node = Node(1, folder, _properties(port, free_ports(1)[0], folder / "data"), bound=False)
    if not (folder / "data" / "meta.properties").exists() and node.format(new_cluster_id()).wait():
        raise Refused(f"the broker's folder could not be prepared, see {node.log}")
    node.start()
    _pid_file(folder).write_text(str(node.pid))
    try:
        node.wait_until_ready()
    except BaseException:
        node.kill()
        raise
    print(f"Kafka is ready at localhost:{port} (data and log in {folder})")
    print(f"  vagus run app.py --hub kafka://localhost:{port}")
    print("  make kafka-stop")


def stop(folder: Path = FOLDER) -> None:
    """Stop the broker; its data stays."""
    pid = _running(folder)
    if pid is None:
        print("no broker is running")
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while _running(folder) is not None:
        if time.monotonic() > deadline:
            raise Refused(f"the broker (process {pid}) does not end: kill -9 {pid}")
        time.sleep(0.05)
    _pid_file(folder).unlink(missing_ok=True)
    print(f"the broker is stopped; its data stays in {folder}")


def _properties(port: int, controller: int, data: Path) -> dict[str, str]:
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        **QUICK_GROUPS,
        "group.consumer.session.timeout.ms": "45000",
    }


def _pid_file(folder: Path) -> Path:
    return folder / "pid"


def _running(folder: Path) -> int | None:
    """The broker's process. Another one that has its number by now is not taken for it."""
    import psutil

    try:
        pid = int(_pid_file(folder).read_text())
        process = psutil.Process(pid)
        ours = str(folder / "server.properties") in process.cmdline()
        return pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (FileNotFoundError, ValueError, psutil.Error):
        return None


def main() -> int:
    """What `make kafka` and `make kafka-stop` run."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.broker")
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    asked = parser.parse_args()
    folder = asked.folder.resolve()
    try:
        if asked.action == "start":
            start(asked.port, folder)
        else:
            stop(folder)
    except (Refused, jars.Missing, RuntimeError) as error:
        print(f"vagus: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
