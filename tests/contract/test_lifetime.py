"""Hubs are opened and closed."""

from __future__ import annotations

import pytest

from tests.contract.hubs import HubUnderTest, MemoryHub, all_values, records
from vagus.errors import HubError
from vagus.hub import Hub, TopicConfig, TopicPartition, connect

A0 = TopicPartition("a", 0)


def test_a_closed_hub_is_closed_for_good(hub: Hub) -> None:
    hub.create_topic("a", TopicConfig())
    hub.close()
    hub.close()
    with pytest.raises(HubError):
        hub.append([(A0, records([b"x"]))])
    with pytest.raises(HubError):
        hub.topics()
    with pytest.raises(HubError):
        _ = hub.id


def test_a_hub_closes_at_the_end_of_its_block(under_test: HubUnderTest) -> None:
    with under_test.connect() as hub:
        hub.create_topic("a", TopicConfig())
    with pytest.raises(HubError):
        hub.topics()


def test_events_outlive_the_client(under_test: HubUnderTest) -> None:
    if isinstance(under_test, MemoryHub):
        pytest.skip("a hub in memory ends with its only client")
    with under_test.connect() as hub:
        hub.create_topic("a", TopicConfig())
        hub.append([(A0, records([b"x"]))])
    assert all_values(under_test.connect(), [A0]) == {A0: [b"x"]}


def test_members_leave_with_their_hub(under_test: HubUnderTest) -> None:
    if isinstance(under_test, MemoryHub):
        pytest.skip("a hub in memory ends with its only client")
    hub, other = under_test.connect(), under_test.connect()
    hub.create_topic("a", TopicConfig())
    hub.join("g", ["a"]).read()
    hub.close()
    assert other.describe_group("g").members == ()


def test_every_client_of_a_hub_sees_the_same_id(under_test: HubUnderTest) -> None:
    hub, other = under_test.connect(), under_test.connect()
    assert hub.id == other.id != ""


def test_the_id_of_a_hub_outlives_its_clients(under_test: HubUnderTest) -> None:
    if isinstance(under_test, MemoryHub):
        pytest.skip("a hub in memory ends with its only client")
    with under_test.connect() as hub:
        known = hub.id
    assert under_test.connect().id == known


def test_another_hub_has_another_id(under_test: HubUnderTest) -> None:
    with connect(":memory:") as other:
        assert under_test.connect().id != other.id


def test_the_address_is_kept(hub: Hub) -> None:
    assert hub.url
