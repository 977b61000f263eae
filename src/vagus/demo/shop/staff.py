"""The services at work: each in a process of its own, which can be stopped, killed and started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import UnknownGroup, VagusError
from vagus.hub.contract import Closing

if TYPE_CHECKING:
    from vagus.hub import Hub

__all__ = ["SERVICES", "Staff"]

SERVICES = ("customer", "catalogue", "stock", "order", "payment", "shipping")

_START_S = 120.0


class Staff(Closing):
    """The processes of the shop's services, on one hub.

    `settings` are environment variables for them. What they print goes to files in `folder`.
    """

    def __init__(self, hub: Hub, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self._hub, self._folder = hub, folder
        self._settings = {**os.environ, **(settings or {})}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start services, and wait until they are at work."""
        for name in names:
            log = (self._folder / f"{name}.log").open("ab")
            file = Path(__file__).with_name(f"{name}.py")
            with log:
                self._processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "vagus.cli", "run", str(file), "--hub", self._hub.url],
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    env=self._settings,
                    start_new_session=True,
                )
        self.wait(names)

    def wait(self, names: Iterable[str]) -> None:
        """Wait until services have partitions. Raises VagusError if one ends, or gets none."""
        deadline = time.monotonic() + _START_S
        for name in names:
            while not self._at_work(name):
                process = self._processes[name]
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (self._folder / f"{name}.log").read_text(errors="replace")
                    raise VagusError(
                        f"expected service {name!r} to start, but it "
                        f"{'ended' if process.poll() is not None else 'never was at work'}",
                        hint=said.strip().splitlines()[-1] if said.strip() else None,
                    )
                time.sleep(0.05)

    def _at_work(self, name: str) -> bool:
        try:
            members = self._hub.describe_group(name).members
        except UnknownGroup:
            return False
        # One that was killed may still be counted for a while, but then owns all partitions.
        return any(member.assignment for member in members)

    def stop(self, name: str) -> None:
        """Have a service finish its commit and go."""
        self._end(name, signal.SIGTERM)

    def kill(self, name: str) -> None:
        """Kill a service's process, wherever it is."""
        self._end(name, signal.SIGKILL)

    def _end(self, name: str, number: signal.Signals) -> None:
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait()

    def close(self) -> None:
        """Stop all services."""
        for process in self._processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self._processes.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
