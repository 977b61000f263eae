"""State: how soon a table is there again."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks import workload
from benchmarks.measure import Result, Span, peak_memory_mb, result, settle
from vagus.hub import TopicPartition, connect
from vagus.hub.schemas import HubRegistry
from vagus.runtime.replica import Replica


def restore(path: Path, count: int) -> Result:
    """A table of `count` keys read back into memory, against reading its bytes alone."""
    _, accounts = workload.bank()
    assert accounts.topic is not None
    place = TopicPartition(accounts.topic.name, 0)
    hub = connect(str(path))
    started_s = time.process_time()
    with Span() as ours:
        replica = Replica(hub, accounts.topic, HubRegistry(hub))
    peak_mb = peak_memory_mb()
    found = len(replica.store)
    replica.close()
    del replica
    settle()
    with Span() as theirs, hub.reader({place: 0}) as reader:
        done = 0
        while done < count:
            done += sum(len(read) for read in reader.read(max_bytes=32 << 20))
    hub.close()
    if found != count:
        raise SystemExit(f"state.restore: expected {count} rows, found {found}")
    return result(
        "state.restore",
        count,
        ours,
        peak_mb=peak_mb,
        ratios={"fetch": theirs.cpu_s / ours.cpu_s},
        more={"start_cpu_s": started_s},
    )
