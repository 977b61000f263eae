"""One broker: its folder, its process, and what can be done to it."""

from __future__ import annotations

import atexit
import base64
import os
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.kafka import jars

PATIENCE_S = 90.0
_READY = "Kafka Server started"

# Ends the process with its parent, even if that is killed: no test leaves a JVM behind.
_BOUND = (
    "import ctypes, os, signal, sys\n"
    "parent = int(sys.argv[1])\n"
    "if sys.platform == 'linux':\n"
    "    ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"
    "if os.getppid() != parent:\n"
    "    sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class Node:
    """A broker, in a folder of its own. `bound` ties its life to this process."""

    def __init__(
        self,
        number: int,
        folder: Path,
        properties: Mapping[str, str],
        *,
        heap_mb: int = 400,
        bound: bool = True,
    ) -> None:
        self.number, self.folder = number, folder
        self.log = folder / "log"
        self._heap_mb, self._bound = heap_mb, bound
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = folder / "server.properties"
        self._settings.write_text("".join(f"{k}={v}\n" for k, v in sorted(properties.items())))
        atexit.register(self._at_exit)

    @property
    def pid(self) -> int:
        """The process's number, while there is one."""
        assert self._process is not None, f"node {self.number} is not running"
        return self._process.pid

    def format(self, cluster_id: str, users: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start to prepare the folder; wait for the process that is returned."""
        scram = [part for user in users for part in ("--add-scram", user)]
        tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(self._settings)]
        with open(self.log, "ab") as log:
            return subprocess.Popen(
                [*java(64), *tool, *scram],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def start(self) -> None:
        """Start the process; `wait_until_ready` waits for it."""
        assert self._process is None, f"node {self.number} is running"
        command = [*java(self._heap_mb), "kafka.Kafka", str(self._settings)]
        if self._bound:
            command = bound(command)
        self._started_at = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def revive(self) -> None:
        """Whatever was done to it: have it run."""
        if self._process is None or self._process.poll() is not None:
            self._process = None
            self.start()
            self.wait_until_ready()
        else:
            self.thaw()

    def wait_until_ready(self) -> None:
        """Wait until it has said that it is."""
        assert self._process is not None
        deadline = time.monotonic() + PATIENCE_S
        while _READY not in self._said():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._said()[-3000:]
                raise RuntimeError(f"node {self.number} did not start, {self.log}: {said}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Have it hand over what it leads, and end."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(PATIENCE_S)
            finally:
                self.kill()

    def freeze(self) -> None:
        """Stop it in its tracks; its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _said(self) -> str:
        with open(self.log, "rb") as log:
            log.seek(self._started_at)
            return log.read().decode(errors="replace")

    def _at_exit(self) -> None:
        if self._bound:
            self.kill()


def bound(command: Sequence[str]) -> list[str]:
    """A command whose process ends with this one, even if this one is killed."""
    return [sys.executable, "-S", "-c", _BOUND, str(os.getpid()), *command]


def java(heap_mb: int, pom: Path = jars.BROKER) -> list[str]:
    """Java, small and quick to start, with Kafka's classes."""
    small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Xmx{heap_mb}m"]
    clock = [
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    ]
    return [jars.java(), *small, *clock, "-cp", jars.classpath(pom)]


def new_cluster_id() -> str:
    """An id as Kafka makes them."""
    return "v" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that systems hand out to clients."""
    dice = random.SystemRandom()
    found: set[int] = set()
    while len(found) < count:
        port = dice.randrange(20_000, 32_000)
        if port_is_free(port):
            found.add(port)
    return list(found)


def port_is_free(port: int) -> bool:
    """Whether a broker could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
