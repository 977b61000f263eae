"""One benchmark, or the preparation of its hub, in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.measure import Result


def main(name: str, path: Path, count: int) -> None:
    """Run the benchmark `name`, and print its outcome as one line of JSON."""
    if name.startswith("fill."):
        from benchmarks import workload

        {"fill.fleet": workload.fill_fleet, "fill.bank": workload.fill_bank}[name](path, count)
        return
    print(json.dumps(_benchmark(name)(path, count).line()))


def _benchmark(name: str) -> Callable[[Path, int], Result]:
    # Each imports only what it needs: its memory is measured.
    if name.startswith("hub."):
        from benchmarks import hub

        return {"hub.append": hub.append, "hub.fetch": hub.fetch, "hub.latency": hub.latency}[name]
    if name.startswith("streams."):
        from benchmarks import streams

        return {
            "streams.filter": streams.filter_and_project,
            "streams.join": streams.join,
            "streams.window": streams.window,
        }[name]
    if name.startswith("services."):
        from benchmarks import services

        return {
            "services.commands": services.commands,
            "services.latency": services.latency,
        }[name]
    if name == "gateway.commands":
        from benchmarks import gateway

        return gateway.commands
    if name == "views.rebuild":
        from benchmarks import views

        return views.rebuild
    from benchmarks import state

    return {"state.restore": state.restore}[name]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
