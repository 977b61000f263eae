"""What a task takes next: the lowest head first, and nothing before its turn."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from vagus.hub import FetchedRecords, Records, TopicPartition
from vagus.runtime.frame import KEY, SEQ, TIME, TIME_TYPE, TOMBSTONE
from vagus.runtime.intake import Intake, TaskInput
from vagus.runtime.topic import DecodedRecords

LEFT, RIGHT = TopicPartition("left", 0), TopicPartition("right", 0)
Times = dict[TopicPartition, list[int]]


def _add(intake: Intake, partition: TopicPartition, first: int, times: list[int]) -> None:
    """Have the intake buffer records of these times, at the offsets from `first` on."""
    records = Records.of([b"k"] * len(times), [b"v"] * len(times), times)
    offsets = np.arange(first, first + len(times))
    read = FetchedRecords(
        partition=partition,
        keys=records.keys,
        values=records.values,
        timestamps=records.timestamps,
        headers=None,
        offsets=offsets,
        next_offset=first + len(times),
    )
    frame = pl.DataFrame(
        {
            "_row": pl.Series(range(len(times)), dtype=pl.UInt32),
            KEY: ["k"] * len(times),
            TIME: pl.Series(times, dtype=pl.Int64).cast(TIME_TYPE),
            TOMBSTONE: [False] * len(times),
            "offset": offsets,
        }
    )
    intake.add(read, DecodedRecords(frame, []))


def _order(taken: TaskInput) -> list[tuple[TopicPartition, int]]:
    """Partition and offset of each record, in the order of processing."""
    rows = [
        (seq, TopicPartition(topic, 0), offset)
        for topic, frame in taken.frames.items()
        for seq, offset in frame.select(SEQ, "offset").iter_rows()
    ]
    assert [seq for seq, _, _ in sorted(rows)] == list(range(taken.count))
    return [(partition, offset) for _, partition, offset in sorted(rows)]


def _lowest_head_first(times: Times) -> list[tuple[TopicPartition, int]]:
    """The same, obviously: look at the first record of each, take the earliest, and again."""
    heads = dict.fromkeys(times, 0)
    order = []
    while open_ := [tp for tp in times if heads[tp] < len(times[tp])]:
        partition = min(open_, key=lambda tp: times[tp][heads[tp]])  # the first of equals
        order.append((partition, heads[partition]))
        heads[partition] += 1
    return order


_times = st.lists(st.integers(0, 8), max_size=12)


@given(_times, _times)
def test_the_lowest_head_comes_first(left: list[int], right: list[int]) -> None:
    times = {LEFT: left, RIGHT: right}
    intake = Intake("app", [LEFT, RIGHT])
    for partition, known in times.items():
        if known:
            _add(intake, partition, 0, known)

    taken = intake.take(())

    assert (_order(taken) if taken else []) == _lowest_head_first(times)


@given(_times, _times, st.data())
def test_the_order_does_not_depend_on_how_records_were_read(
    left: list[int], right: list[int], data: st.DataObject
) -> None:
    times = {LEFT: left, RIGHT: right}
    intake = Intake("app", [LEFT, RIGHT])
    read = {LEFT: 0, RIGHT: 0}
    order: list[tuple[TopicPartition, int]] = []
    while behind := {tp for tp in times if read[tp] < len(times[tp])}:
        for partition in sorted(behind):
            count = data.draw(st.integers(0, 4), label=f"records read of {partition.topic}")
            chunk = times[partition][read[partition] : read[partition] + count]
            if chunk:
                _add(intake, partition, read[partition], chunk)
                read[partition] += len(chunk)
        taken = intake.take({tp for tp in times if read[tp] < len(times[tp])})
        order += _order(taken) if taken else []

    assert order == _lowest_head_first(times)


def test_nothing_is_taken_while_a_partition_with_more_is_still_unknown() -> None:
    intake = Intake("app", [LEFT, RIGHT])
    _add(intake, LEFT, 0, [1, 2])

    assert intake.take({RIGHT}) is None


def test_positions_follow_what_was_taken() -> None:
    intake = Intake("app", [LEFT, RIGHT])
    _add(intake, LEFT, 10, [1, 5, 6])
    _add(intake, RIGHT, 20, [3])

    taken = intake.take({RIGHT})

    assert taken is not None
    assert taken.positions == {LEFT: 11, RIGHT: 21}
    assert intake.pending(LEFT) == 2
