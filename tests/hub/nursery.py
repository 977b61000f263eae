"""Processes to be killed: forked from one that has imported everything, so that hundreds are cheap.

Started as a script. Reads lines `role folder number`, forks a child that plays the role for ever,
answers with its pid. What a child does wrong goes to `folder/errors`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from vagus.errors import Fenced
from vagus.hub import Records, TopicConfig, TopicPartition, connect
from vagus.hub.local import LocalHub

PARTITIONS = 3
SESSION_TIMEOUT_S = 0.5


def create_topics(path: str) -> None:
    with connect(path) as hub:
        for name in ("in", "out", "pair"):
            hub.create_topic(name, TopicConfig(partitions=PARTITIONS))
        hub.create_topic("table", TopicConfig(cleanup="compact"))


def produce(folder: Path, number: int) -> None:
    """Append unique values; note each one that was acknowledged."""
    hub = connect(str(folder / "hub.db"))
    noted = os.open(folder / "acknowledged", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def run(thread: int) -> None:
        for count in range(1_000_000):
            value = b"%d-%d-%d" % (number, thread, count)
            to = TopicPartition("in", count % PARTITIONS)
            hub.append(
                [(to, Records.of([b"k"], [value], [count]))],
                acks="all" if count % 2 else "leader",
            )
            os.write(noted, value + b"\n")
            hub.append([(TopicPartition("table", 0), Records.of([b"k"], [value], [count]))])
            if count % 3 == 0:
                pair = hub.begin(f"pair-{number}-{thread}")
                for half in (0, 1):
                    pair.append([(TopicPartition("pair", half), Records.of([b"k"], [value], [0]))])
                pair.commit()

    other = threading.Thread(target=run, args=(1,), daemon=True)
    other.start()
    run(0)


def work(folder: Path, number: int) -> None:
    """Copy from `in` to `out`, exactly once."""
    hub = connect(str(folder / "hub.db"))
    while True:
        member = hub.join("workers", ["in"], session_timeout_s=SESSION_TIMEOUT_S)
        try:
            while True:
                got = member.read(max_records=20, wait_s=0.2)
                if not got:
                    continue
                transaction = member.begin()
                transaction.append(
                    [
                        (
                            TopicPartition("out", one.partition.partition),
                            Records(one.keys, one.values, one.timestamps),
                        )
                        for one in got
                    ]
                )
                transaction.commit({one.partition: one.next_offset for one in got})
        except Fenced:
            member.close()


def keep(folder: Path, number: int) -> None:
    """Housekeeping without a pause."""
    hub = connect(str(folder / "hub.db"))
    assert isinstance(hub, LocalHub)
    while True:
        hub.housekeep()


ROLES = {"produce": produce, "work": work, "keep": keep}


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        role, folder, number = line.split()
        pid = os.fork()
        if pid == 0:
            try:
                ROLES[role](Path(folder), int(number))
            except BaseException:  # noqa: BLE001 - the test reads it
                with open(Path(folder) / "errors", "a") as errors:
                    errors.write(f"{role} {number}\n{traceback.format_exc()}\n")
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
