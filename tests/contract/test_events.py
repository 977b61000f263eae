"""Events are appended and read back."""

from __future__ import annotations

import threading
from typing import cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.hubs import (
    HubUnderTest,
    MemoryHub,
    all_values,
    eventually,
    in_thread,
    read_values,
    records,
)
from vagus.errors import HubError, OffsetOutOfRange, UnknownTopic
from vagus.hub import Acks, Hub, Records, TopicConfig, TopicPartition

A0, A1 = TopicPartition("a", 0), TopicPartition("a", 1)


@pytest.fixture
def topic(hub: Hub) -> str:
    hub.create_topic("a", TopicConfig(partitions=2))
    return "a"


@pytest.mark.usefixtures("topic")
class TestAppend:
    def test_what_is_appended_is_read_back_whole(self, hub: Hub) -> None:
        headers = [(("trace", b"1"), ("trace", b"2")), (), (("leer", b""),)]
        hub.append([(A0, Records.of([b"k", None, b""], [b"v", b"", None], [7, 5, 6], headers))])
        with hub.reader({A0: 0}) as reader:
            (got,) = reader.read(wait_s=10)
        assert got.partition == A0
        assert got.keys.to_list() == [b"k", None, b""]
        assert got.values.to_list() == [b"v", b"", None]
        assert got.timestamps.tolist() == [7, 5, 6]
        assert got.headers == headers

    def test_the_offset_of_each_first_record_is_given(self, hub: Hub) -> None:
        first = hub.append([(A0, records([b"1", b"2"])), (A1, records([b"3"]))])
        second = hub.append([(A0, records([b"4"]))])
        with hub.reader({A0: second[0]}) as reader:
            assert read_values(reader, 1) == {A0: [b"4"]}
        assert second[0] >= first[0] + 2
        assert len(first) == 2

    def test_two_batches_for_one_partition_keep_their_order(self, hub: Hub) -> None:
        first, second = hub.append([(A0, records([b"1"])), (A0, records([b"2", b"3"]))])
        assert first < second
        assert all_values(hub, [A0]) == {A0: [b"1", b"2", b"3"]}

    @pytest.mark.parametrize("acks", ["none", "leader", "all"])
    def test_every_kind_of_acknowledgement_delivers(self, hub: Hub, acks: Acks) -> None:
        offsets = hub.append([(A0, records([b"x"]))], acks=acks)
        assert (offsets == [-1]) == (acks == "none")
        with hub.reader({A0: 0}) as reader:
            assert read_values(reader, 1) == {A0: [b"x"]}

    def test_closing_delivers_what_was_not_waited_for(self, under_test: HubUnderTest) -> None:
        if isinstance(under_test, MemoryHub):
            pytest.skip("a hub in memory ends with its only client")
        writer, other = under_test.connect(), under_test.connect()
        writer.append([(A0, records([b"x"]))], acks="none")
        writer.close()
        assert all_values(other, [A0]) == {A0: [b"x"]}

    def test_an_unknown_topic_or_partition_is_refused(self, hub: Hub) -> None:
        for acks in ("none", "leader", "all"):
            with pytest.raises(UnknownTopic):
                hub.append([(TopicPartition("b", 0), records([b"x"]))], acks=cast("Acks", acks))
            with pytest.raises(UnknownTopic):
                hub.append([(TopicPartition("a", 2), records([b"x"]))], acks=cast("Acks", acks))

    def test_a_record_without_key_is_refused_by_a_compacted_topic(self, hub: Hub) -> None:
        hub.create_topic("table", TopicConfig(cleanup="compact"))
        with pytest.raises(HubError):
            hub.append([(TopicPartition("table", 0), records([b"x"], keys=[None]))])
        assert all_values(hub, [TopicPartition("table", 0)])[TopicPartition("table", 0)] == []

    def test_many_threads_lose_nothing_and_keep_their_order(self, hub: Hub) -> None:
        def produce(thread: int) -> None:
            for number in range(50):
                hub.append([(A0, records([b"%d %d" % (thread, number)]))])

        threads = [threading.Thread(target=produce, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seen = all_values(hub, [A0])[A0]
        assert len(seen) == 200
        for thread in range(4):
            mine = [value for value in seen if value and value.startswith(b"%d " % thread)]
            assert mine == [b"%d %d" % (thread, number) for number in range(50)]

    def test_a_batch_larger_than_any_stored_one_is_read_back(self, hub: Hub) -> None:
        values = [b"%06d" % n + b"." * 500 for n in range(6000)]
        hub.append([(A0, records(values))])
        assert all_values(hub, [A0])[A0] == values


@pytest.mark.usefixtures("topic")
class TestFetch:
    def test_offsets_grow_and_next_offset_continues(self, hub: Hub) -> None:
        for n in range(5):
            hub.append([(A0, records([b"%d" % n] * 3))])
        offsets: list[int] = []
        with hub.reader({A0: 0}) as reader:
            while len(offsets) < 15:
                for got in reader.read(max_records=4, wait_s=10):
                    offsets += got.offsets.tolist()
                    assert got.next_offset > got.offsets[-1]
                    assert reader.positions()[A0] == got.next_offset
        assert offsets == sorted(set(offsets))

    def test_a_reader_starts_within_a_batch(self, hub: Hub) -> None:
        (first,) = hub.append([(A0, records([b"0", b"1", b"2", b"3"]))])
        with hub.reader({A0: first + 2}) as reader:
            assert read_values(reader, 2) == {A0: [b"2", b"3"]}

    def test_a_bound_of_one_record_still_returns_one(self, hub: Hub) -> None:
        hub.append([(A0, records([b"x" * 1000, b"y" * 1000]))])
        with hub.reader({A0: 0}) as reader:
            got = reader.read(max_records=1, max_bytes=1, wait_s=10)
            assert got[0].values.to_list()[0] == b"x" * 1000

    def test_no_partition_starves(self, hub: Hub) -> None:
        for n in range(50):
            hub.append([(A0, records([b"a%d" % n])), (A1, records([b"b%d" % n]))])
        seen: set[TopicPartition] = set()
        with hub.reader({A0: 0, A1: 0}) as reader:
            for _ in range(10):
                seen.update(got.partition for got in reader.read(max_records=1, wait_s=5))
        assert seen == {A0, A1}

    def test_at_most_one_batch_for_each_partition(self, hub: Hub) -> None:
        for _ in range(5):
            hub.append([(A0, records([b"x"])), (A1, records([b"y"]))])
        with hub.reader({A0: 0, A1: 0}) as reader:
            got = [one.partition for one in reader.read(wait_s=10)]
        assert len(got) == len(set(got))

    def test_nothing_to_read_is_an_empty_list(self, hub: Hub) -> None:
        with hub.reader({A0: 0}) as reader:
            assert reader.read() == []
            assert reader.read(wait_s=0.01) == []

    def test_a_waiting_read_gets_what_is_appended_meanwhile(self, under_test: HubUnderTest) -> None:
        if isinstance(under_test, MemoryHub):
            pytest.skip("a hub in memory with a clock of its own waits for nobody")
        writer, reading = under_test.connect(), under_test.connect()
        got: list[bytes | None] = []
        with reading.reader({A0: 0}) as reader:

            def read() -> None:
                for found in reader.read(wait_s=30):
                    got.extend(found.values.to_list())

            thread = in_thread(read)
            writer.append([(A0, records([b"x"]))])
            thread.join(25)
            assert not thread.is_alive()
        assert got == [b"x"]

    def test_wakeup_ends_a_wait(self, hub: Hub) -> None:
        with hub.reader({A0: 0}) as reader:
            thread = in_thread(lambda: reader.read(wait_s=3600))
            reader.wakeup()
            eventually(lambda: not thread.is_alive(), "the reader woke up")

    def test_a_position_beyond_the_end_is_refused(self, hub: Hub) -> None:
        hub.append([(A0, records([b"x"]))])
        with hub.reader({A0: 1000}) as reader, pytest.raises(OffsetOutOfRange):
            read_values(reader, 1)

    def test_seek_reads_again(self, hub: Hub) -> None:
        (first,) = hub.append([(A0, records([b"x", b"y"]))])
        with hub.reader({A0: first}) as reader:
            read_values(reader, 2)
            reader.seek(A0, first + 1)
            assert reader.positions() == {A0: first + 1}
            assert read_values(reader, 1) == {A0: [b"y"]}

    def test_a_paused_partition_is_left_out_until_resumed(self, hub: Hub) -> None:
        hub.append([(A0, records([b"x"])), (A1, records([b"y"]))])
        with hub.reader({A0: 0, A1: 0}) as reader:
            reader.pause([A0])
            assert read_values(reader, 1) == {A1: [b"y"]}
            assert reader.read(wait_s=0.05) == []
            reader.resume([A0])
            assert read_values(reader, 1) == {A0: [b"x"]}

    def test_ends_are_those_of_the_last_read(self, hub: Hub) -> None:
        with hub.reader({A0: 0}) as reader:
            assert reader.ends() == {A0: 0}
            hub.append([(A0, records([b"x", b"y"]))])
            read_values(reader, 2)
            assert reader.ends() == {A0: reader.positions()[A0]}

    def test_an_unknown_partition_cannot_be_read(self, hub: Hub) -> None:
        with pytest.raises(UnknownTopic):
            hub.reader({TopicPartition("b", 0): 0}).read(wait_s=1)

    def test_a_closed_reader_reads_no_more(self, hub: Hub) -> None:
        reader = hub.reader({A0: 0})
        reader.close()
        reader.close()
        with pytest.raises(HubError):
            reader.read()


@pytest.mark.usefixtures("topic")
class TestTrim:
    def test_events_before_the_position_are_gone(self, hub: Hub) -> None:
        hub.append([(A0, records([b"a", b"b", b"c"]))])
        hub.append([(A0, records([b"d"]))])
        third = hub.offsets([A0], "earliest")[A0] + 2
        hub.trim({A0: third})
        assert hub.offsets([A0], "earliest") == {A0: third}
        assert all_values(hub, [A0]) == {A0: [b"c", b"d"]}

    def test_a_position_that_was_trimmed_is_out_of_range(self, hub: Hub) -> None:
        hub.append([(A0, records([b"a", b"b"]))])
        start = hub.offsets([A0], "earliest")[A0]
        hub.trim({A0: start + 1})
        with hub.reader({A0: start}) as reader, pytest.raises(OffsetOutOfRange):
            reader.read(wait_s=5.0)

    def test_beyond_the_end_all_is_gone_and_offsets_go_on(self, hub: Hub) -> None:
        hub.append([(A0, records([b"a"]))])
        end = hub.offsets([A0], "latest")[A0]
        hub.trim({A0: end + 100})
        assert all_values(hub, [A0]) == {A0: []}
        assert hub.append([(A0, records([b"b"]))])[0] >= end

    def test_a_time_is_not_looked_for_among_what_is_gone(self, hub: Hub) -> None:
        hub.append([(A0, Records.of([b"k"] * 2, [b"late", b"early"], [2000, 1000]))])
        second = hub.offsets([A0], "earliest")[A0] + 1
        hub.trim({A0: second})
        assert hub.offsets([A0], 1500) == hub.offsets([A0], "latest")


@pytest.mark.usefixtures("topic")
class TestOffsets:
    def test_earliest_and_latest_enclose_the_events(self, hub: Hub) -> None:
        hub.append([(A0, records([b"x", b"y"]))])
        earliest, latest = hub.offsets([A0, A1], "earliest"), hub.offsets([A0, A1], "latest")
        assert latest[A0] - earliest[A0] >= 2
        assert latest[A1] == earliest[A1]

    def test_a_time_is_the_first_event_at_or_after_it(self, hub: Hub) -> None:
        (first,) = hub.append([(A0, records([b"a", b"b", b"c"], timestamps=[100, 200, 300]))])
        hub.append([(A0, records([b"d"], timestamps=[400]))])
        assert hub.offsets([A0], 0)[A0] == first
        assert hub.offsets([A0], 200)[A0] == first + 1
        assert hub.offsets([A0], 201)[A0] == first + 2
        with hub.reader(hub.offsets([A0], 301)) as reader:
            assert read_values(reader, 1) == {A0: [b"d"]}

    def test_a_time_after_all_events_is_the_end(self, hub: Hub) -> None:
        hub.append([(A0, records([b"a"], timestamps=[100]))])
        assert hub.offsets([A0], 101) == hub.offsets([A0], "latest")

    def test_an_unknown_partition_has_no_offsets(self, hub: Hub) -> None:
        with pytest.raises(UnknownTopic):
            hub.offsets([TopicPartition("b", 0)], "latest")


_bytes = st.none() | st.binary(max_size=20)
_name = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
_row = st.tuples(
    _bytes,
    _bytes,
    st.integers(0, 2**53),
    st.lists(st.tuples(_name, st.binary(max_size=5)), max_size=3),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(st.lists(_row, min_size=1, max_size=8), min_size=1, max_size=5))
@pytest.mark.usefixtures("topic")
def test_any_records_come_back_as_they_were(hub: Hub, batches: list[list[tuple]]) -> None:  # type: ignore[type-arg]
    begin = hub.offsets([A0], "latest")
    for batch in batches:
        keys, values, stamps, headers = zip(*batch, strict=True)
        hub.append([(A0, Records.of(keys, values, stamps, [tuple(one) for one in headers]))])
    rows = []
    with hub.reader(begin) as reader:
        while len(rows) < sum(map(len, batches)):
            for got in reader.read(max_records=3, wait_s=5):
                headers = got.headers if got.headers is not None else [()] * len(got)
                stamps = got.timestamps.astype(np.int64).tolist()
                columns = got.keys.to_list(), got.values.to_list(), stamps, headers
                rows += [(k, v, t, list(h)) for k, v, t, h in zip(*columns, strict=True)]
    assert rows == [row for batch in batches for row in batch]
