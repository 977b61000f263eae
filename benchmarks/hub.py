"""The hub alone: appending, fetching, and how soon an event is there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

import numpy as np

from benchmarks import workload
from benchmarks.measure import Result, Span, peak_memory_mb, result
from vagus.events import AvroCodec, KeyCodec, MemoryRegistry, RecordSchema
from vagus.hub import Hub, Records, TopicConfig, TopicPartition, connect

_BATCH_BYTES = 512 << 10
_APPENDS = 16  # in a round, before it is the raw file's turn
_PINGS = 200
_IDLE_S = 3.0
_PING = TopicPartition("ping", 0)


def append(path: Path, count: int) -> Result:
    """Synced appends of half a megabyte, against a raw file that is given the same bytes."""
    place = TopicPartition("appended", 0)
    frame = workload.positions_frame(0, min(count, 65_536))
    codec = AvroCodec([RecordSchema.of(workload.BusPosition)], MemoryRegistry(), place.topic)
    whole = Records(
        KeyCodec("str").encode(frame["bus_id"]),
        codec.encode(frame),
        frame["at"].dt.epoch("ms").to_numpy(),
    )
    each = min(len(whole), _BATCH_BYTES * len(whole) // (whole.nbytes + 16 * len(whole)))
    batch = Records(whole.keys.slice(0, each), whole.values.slice(0, each), whole.timestamps[:each])
    hub = connect(str(path))
    hub.create_topic(place.topic, TopicConfig())
    hub.append([(place, batch)])
    stored = hub.describe_topic(place.topic).partitions[0].nbytes
    blob = os.urandom(stored)

    ours, synced, unsynced = Span(), Span(), Span()
    batches = 0
    with _raw_file(path.with_name("synced")) as file, _raw_file(path.with_name("raw")) as other:
        while batches * each < count:
            with ours:
                for _ in range(_APPENDS):
                    hub.append([(place, batch)], acks="all")
            with synced:
                for _ in range(_APPENDS):
                    os.write(file, blob)
                    os.fdatasync(file)
            with unsynced:
                for _ in range(_APPENDS):
                    os.write(other, blob)
            batches += _APPENDS
    events = batches * each
    end = hub.offsets([place], "latest")[place]
    hub.close()
    if end != events + each:
        raise SystemExit(f"hub.append: expected {events + each} events, found {end}")
    return result(
        "hub.append",
        events,
        ours,
        ratios={
            "file_synced": synced.wall_s / ours.wall_s,
            "file_unsynced": unsynced.wall_s / ours.wall_s,
        },
        more={"mb_per_s": batches * stored / ours.wall_s / 1e6, "batch_bytes": stored},
    )


def fetch(path: Path, count: int) -> Result:
    """Reading a topic from its start, against reading a file of the same size."""
    hub = connect(str(path))
    place = workload.POSITIONS
    nbytes = hub.describe_topic(place.topic).partitions[0].nbytes
    raw = path.with_name("raw")
    raw.write_bytes(bytes(nbytes))
    ours, theirs = Span(), Span()
    rounds = max(3, 10_000_000 // count)
    _read_all(hub, place, count)
    for _ in range(rounds):
        with ours:
            _read_all(hub, place, count)
        with theirs, raw.open("rb", buffering=0) as file:
            while file.read(_BATCH_BYTES):
                pass
    hub.close()
    return result(
        "hub.fetch",
        count * rounds,
        ours,
        ratios={"file": theirs.wall_s / ours.wall_s},
        more={"mb_per_s": nbytes * rounds / ours.wall_s / 1e6},
    )


def latency(path: Path, count: int) -> Result:
    """From just before an append to the moment when a waiting reader has the event.

    Events come at random moments, so that nothing keeps step with them. They are written with
    acks="leader"; with acks="all" the disk's own time comes on top.
    """
    pings = max(2, min(_PINGS, count // 10))
    hub = connect(str(path))
    hub.create_topic(_PING.topic, TopicConfig())
    here: list[float] = []
    reader = threading.Thread(target=lambda: here.extend(_delays(hub, pings)))
    reader.start()
    with Span() as span:
        _ping(hub, pings)
        reader.join()
    start = hub.offsets([_PING], "latest")[_PING]
    other = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.hub", str(path), str(start), str(pings)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    other.stdout.readline()  # it is ready
    _ping(hub, pings)
    between = [float(line) for line in other.stdout]
    if other.wait() or len(between) != pings:
        raise SystemExit("hub.latency: the other process failed")
    with Span() as idle, hub.reader(hub.offsets([_PING], "latest")) as waiting:
        waiting.read(wait_s=_IDLE_S)
    with _raw_file(path.with_name("synced")) as file:
        raw = []
        for _ in range(50):
            with Span() as one:
                os.write(file, bytes(100))
                os.fdatasync(file)
            raw.append(one.wall_s)
    hub.close()
    at_p50 = median(here)
    made = result(
        "hub.latency",
        pings,
        span,
        peak_mb=peak_memory_mb(),
        ratios={"file_synced": median(raw) / at_p50},
        more={
            "p50_ms": at_p50 * 1e3,
            "p99_ms": quantiles(here, n=100)[98] * 1e3,
            "p50_between_processes_ms": median(between) * 1e3,
            "p99_between_processes_ms": quantiles(between, n=100)[98] * 1e3,
            "idle_cpu_percent": 100 * idle.cpu_s / idle.wall_s,
        },
    )
    made.events_per_s = 1 / at_p50  # one after another; the pauses between them don't count
    return made


def _ping(hub: Hub, count: int) -> None:
    rng = np.random.default_rng(workload.SEED)
    for pause_s in rng.uniform(0.005, 0.06, count).tolist():
        time.sleep(pause_s)
        now = str(time.clock_gettime_ns(time.CLOCK_MONOTONIC)).encode()
        hub.append([(_PING, Records.of([None], [now], [0]))], acks="leader")


def _delays(hub: Hub, count: int, start: int = 0) -> Iterator[float]:
    with hub.reader({_PING: start}) as reader:
        while count > 0:
            for read in reader.read(wait_s=10.0):
                now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                for sent in read.values.to_list():
                    yield (now - int(sent or b"0")) / 1e9
                    count -= 1


def _read_all(hub: Hub, place: TopicPartition, count: int) -> None:
    done = 0
    with hub.reader({place: 0}) as reader:
        while done < count:
            done += sum(len(read) for read in reader.read())


@contextmanager
def _raw_file(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        yield file
    finally:
        os.close(file)
        path.unlink()


if __name__ == "__main__":  # the other process of `latency`
    with connect(sys.argv[1]) as shared:
        print("ready", flush=True)
        found = list(_delays(shared, int(sys.argv[3]), int(sys.argv[2])))
    print(*found, sep="\n")
