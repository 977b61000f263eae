"""Mirrors to be killed, forked from a process that has imported everything.

Started as a script. For each line `source target` it forks a mirror that copies again and again,
and answers with its pid.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback

from vagus.hub import connect, reading
from vagus.hub.mirror import Mirror, mirror


def work(source: str, target: str) -> None:
    """Copy in small steps, until killed."""
    mirror.STEP_RECORDS = reading.READ_RECORDS = 20
    made = Mirror(connect(source), connect(target), with_groups=True)
    while True:
        made.copy()


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are not waited for
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                work(*line.split())
            except BaseException:  # noqa: BLE001 - told, and then the process ends
                traceback.print_exc()
            os._exit(1)
        print(child, flush=True)
