"""Comparing copies with what was copied."""

from __future__ import annotations

import pytest

from tests.mirror.conftest import fill, mirror
from vagus.hub import Hub, Records, TopicConfig, TopicPartition

BUS = TopicPartition("bus", 0)
PLAIN = ([b"a", b"b"], [b"1", None], [5, 6], [(("h", b"x"),), ()])


@pytest.mark.parametrize(
    "spoilt",
    [
        ([b"a", b"c"], [b"1", None], [5, 6], PLAIN[3]),
        ([b"a", b"b"], [b"2", None], [5, 6], PLAIN[3]),
        ([b"a", b"b"], [b"1", b""], [5, 6], PLAIN[3]),
        ([b"a", b"b"], [b"1", None], [5, 7], PLAIN[3]),
        ([b"a", b"b"], [b"1", None], [5, 6], [(("h", b"y"),), ()]),
        ([b"b", b"a"], [None, b"1"], [6, 5], [(), (("h", b"x"),)]),
        ([b"a1", b"b"], [b"", None], [5, 6], PLAIN[3]),
    ],
    ids=["key", "value", "null", "time", "header", "order", "border"],
)
def test_any_difference_is_seen(source: Hub, target: Hub, spoilt, monkeypatch) -> None:
    source.create_topic("pair", TopicConfig())
    source.append([(TopicPartition("pair", 0), Records.of(*PLAIN))])
    at_work = mirror(source, target)
    monkeypatch.setattr(at_work._ids, "translate", lambda topic, values, keys: values)
    at_work.copy()
    assert all(each.same for each in at_work.verify())
    target.delete_topic("pair")
    target.create_topic("pair", TopicConfig())
    target.append([(TopicPartition("pair", 0), Records.of(*spoilt))])
    found = {each.topic: each for each in at_work.verify()}
    assert found["bus"].same
    assert not found["pair"].same


def test_batches_make_no_difference(source: Hub, target: Hub, monkeypatch) -> None:
    for number in range(5):
        fill(source, "bus", 11, first=100 + 11 * number)
    monkeypatch.setattr("vagus.hub.mirror.mirror.STEP_RECORDS", 7)
    at_work = mirror(source, target)
    at_work.copy()
    assert all(each.same for each in at_work.verify())


def test_compacted_topics_are_the_same_whenever_each_is_compacted(source: Hub, target: Hub) -> None:
    source.create_topic("table", TopicConfig(cleanup="compact"))
    fill(source, "table", 100)
    at_work = mirror(source, target)
    at_work.copy()
    target.wipe("table")
    [found] = [each for each in at_work.verify() if each.topic == "table"]
    assert found.same
    assert 0 < found.source_count <= 7


@pytest.mark.parametrize("side", ["source", "target"])
def test_what_one_hub_no_longer_keeps_is_left_out(source: Hub, target: Hub, side: str) -> None:
    at_work = mirror(source, target)
    at_work.copy()
    {"source": source, "target": target}[side].trim({BUS: 20})
    found = {each.partition: each for each in at_work.verify()}
    assert found[0].same
    assert (found[0].source_count, found[1].source_count) == (30, 50)
