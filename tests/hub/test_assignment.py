"""Who reads what: balanced, by partition number, moving as little as possible."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vagus.hub import TopicPartition
from vagus.hub.local.assignment import assign

_topics = st.dictionaries(st.sampled_from("abc"), st.integers(1, 8), min_size=1)
_members = st.sets(st.sampled_from("mnopqr"), min_size=1)


def shares(assigned: dict[TopicPartition, str]) -> Counter[str]:
    return Counter(
        {
            m: len({tp.partition for tp in assigned if assigned[tp] == m})
            for m in set(assigned.values())
        }
    )


@given(_topics, _members, _members)
def test_every_partition_has_one_reader_and_numbers_stay_together(
    topics: dict[str, int], before: set[str], after: set[str]
) -> None:
    everything = frozenset(topics)
    first = assign(dict.fromkeys(before, everything), topics, {})
    second = assign(dict.fromkeys(after, everything), topics, first)
    assert set(second) == {
        TopicPartition(t, n) for t, count in topics.items() for n in range(count)
    }
    for number in range(max(topics.values())):
        readers = {member for tp, member in second.items() if tp.partition == number}
        assert len(readers) == 1
    held = [shares(second)[member] for member in after]
    assert max(held) - min(held) <= 1


@given(st.integers(1, 12), _members, _members)
def test_no_more_partitions_move_than_balance_asks_for(
    count: int, before: set[str], after: set[str]
) -> None:
    first = assign(dict.fromkeys(before, frozenset("a")), {"a": count}, {})
    second = assign(dict.fromkeys(after, frozenset("a")), {"a": count}, first)
    moved = sum(first[tp] != second[tp] for tp in first)
    base, extra = divmod(count, len(after))
    held = sorted((shares(first)[member] for member in after), reverse=True)
    can_stay = sum(min(have, base + (n < extra)) for n, have in enumerate(held))
    assert moved == count - can_stay


def test_members_get_only_topics_they_subscribed_to() -> None:
    wanted = {"m": frozenset("ab"), "n": frozenset("a"), "o": frozenset("b")}
    assigned = assign(wanted, {"a": 4, "b": 4}, {})
    assert len(assigned) == 8
    assert all(tp.topic in wanted[member] for tp, member in assigned.items())


def test_a_topic_that_nobody_reads_is_left_out() -> None:
    assert assign({"m": frozenset("a")}, {"a": 1, "b": 1}, {}) == {TopicPartition("a", 0): "m"}
