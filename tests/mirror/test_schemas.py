"""Schemas in another hub's registry, and their ids in events."""

from __future__ import annotations

import pytest

import vagus as vg
from tests.mirror.conftest import everything, mirror
from vagus.errors import HubError, IncompatibleSchema
from vagus.events.avro import AvroCodec
from vagus.events.schema import RecordSchema
from vagus.hub import Hub, Records, TopicConfig, TopicPartition
from vagus.hub.schemas import HubRegistry

LINE = TopicPartition("line", 0)
OTHER = '{"type":"record","name":"Other","fields":[{"name":"n","type":"long"}]}'


class Line(vg.Event):
    name: str
    stops: int


def write_lines(hub: Hub, topic: str = "line") -> None:
    """Twenty events in two batches, with a deletion, as of an application."""
    codec = AvroCodec([RecordSchema.of(Line)], HubRegistry(hub), topic)
    hub.create_topic(topic, TopicConfig())
    lines = Line.to_frame([Line(name=f"line {n}", stops=n) for n in range(10)])
    values = [*codec.encode(lines).to_list(), None]
    for _ in range(2):
        hub.append([(TopicPartition(topic, 0), Records.of([b"k"] * 11, values, range(11)))])


def read_lines(hub: Hub, topic: str = "line") -> list[str]:
    values = [value for _, value, _, _ in everything(hub, topic)[0]]
    codec = AvroCodec([RecordSchema.of(Line)], HubRegistry(hub), topic)
    column = Records.of(values, values, [0] * len(values)).values
    return codec.decode(column).frame["name"].to_list()


def test_in_a_hub_without_schemas_all_ids_stay(source: Hub, target: Hub) -> None:
    registry = HubRegistry(source)
    registry.register("other-value", OTHER)
    write_lines(source)
    registry.set_level("line-value", "FULL")
    mirror(source, target).copy()
    copied = HubRegistry(target)
    assert copied.subjects() == registry.subjects()
    assert copied.versions("line-value") == registry.versions("line-value") == [(1, 2)]
    assert copied.level("line-value") == "FULL"
    assert everything(target, "line") == everything(source, "line")


def test_an_id_that_is_taken_is_changed_in_the_events(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("mine-value", OTHER)
    write_lines(source)
    at_work = mirror(source, target)
    at_work.copy()
    [(_, new)] = HubRegistry(target).versions("line-value")
    assert new != 1
    assert read_lines(target) == read_lines(source)
    assert all(each.same for each in at_work.verify())


def test_a_schema_that_the_target_knows_keeps_the_targets_id(source: Hub, target: Hub) -> None:
    registry = HubRegistry(target)
    registry.register("mine-value", OTHER)
    known = registry.register("mine-too-value", RecordSchema.of(Line).json)
    write_lines(source)
    mirror(source, target).copy()
    assert registry.versions("line-value") == [(1, known)]
    assert read_lines(target) == read_lines(source)


def test_dead_letters_can_be_read_too(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("mine-value", OTHER)
    write_lines(source)
    source.create_topic("fleet-dead-letters", TopicConfig())
    [[_, value, _, _], *_] = everything(source, "line")[0]
    place = TopicPartition("fleet-dead-letters", 0)
    source.append([(place, Records.of([None], [value], [0]))])
    mirror(source, target).copy()
    [[_, copied, _, _]] = everything(target, "fleet-dead-letters")[0]
    assert copied == everything(target, "line")[0][0][1] != value


def test_bytes_that_only_look_like_a_schemas_are_not_touched(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("mine-value", OTHER)
    write_lines(source)
    source.create_topic("raw", TopicConfig())
    source.append([(TopicPartition("raw", 0), Records.of([None], [b"\0\0\0\0\x01..."], [0]))])
    with pytest.raises(HubError, match="begin like those of schema 1"):
        mirror(source, target).copy()


def test_keys_whose_id_would_change_are_refused(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("mine-value", OTHER)
    write_lines(source)
    HubRegistry(source).register("line-key", RecordSchema.of(Line).json)
    source.append([(LINE, Records.of([b"\0\0\0\0\x01..."], [b"x"], [0]))])
    with pytest.raises(HubError, match="keys would belong to other partitions"):
        mirror(source, target).copy()


def test_versions_that_do_not_fit_the_targets_are_refused(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("line-value", OTHER)
    write_lines(source)
    with pytest.raises(IncompatibleSchema):
        mirror(source, target).copy()


def test_a_schema_that_comes_while_mirroring_is_translated(source: Hub, target: Hub) -> None:
    HubRegistry(target).register("mine-value", OTHER)
    write_lines(source)
    at_work = mirror(source, target)
    at_work.copy()
    HubRegistry(target).register("mine-again-value", '"long"')
    HubRegistry(source).register("new-value", '"double"')
    new = Records.of([None], [b"\0\0\0\0\x02..."], [0])
    source.append([(LINE, new)])
    at_work.copy()
    [(_, given)] = HubRegistry(target).versions("new-value")
    assert everything(target, "line")[0][-1][1] == b"\0" + given.to_bytes(4, "big") + b"..."


def test_deleted_versions_can_still_be_read(source: Hub, target: Hub) -> None:
    write_lines(source)
    registry = HubRegistry(source)
    registry.change(
        lambda subjects: (None, subjects.deletion(subjects.known("line-value"), permanent=False))
    )
    mirror(source, target).copy()
    assert HubRegistry(target).subjects() == []
    assert HubRegistry(target).schema(1) == registry.schema(1)
