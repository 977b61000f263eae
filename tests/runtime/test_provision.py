"""What an application needs of its hub before it runs."""

from __future__ import annotations

import pytest

import vagus as vg
from vagus.errors import HubError
from vagus.events import MemoryRegistry
from vagus.hub import TopicConfig
from vagus.hub.local import LocalHub
from vagus.runtime.worker import Worker


class Sale(vg.Event):
    product: str


class Strict(LocalHub):
    """A hub on which the application may not create topics."""

    def create_topic(self, name: str, config: TopicConfig) -> None:
        raise HubError("not allowed to create topics", where=name)


def test_a_topic_that_may_not_be_created_is_named_with_the_command_that_creates_it() -> None:
    app = vg.App("shop")
    app.topic("sale", Sale, key="product", partitions=3, retention="7d").to("out")
    with Strict(":memory:") as hub, pytest.raises(HubError) as caught:
        Worker(app.name, app.topology, hub, MemoryRegistry())
    assert "vagus topic create sale --partitions 3 --retention 604800000ms" in str(caught.value)
    assert "not allowed to create topics" in str(caught.value)


def test_topics_that_are_read_together_need_as_many_partitions() -> None:
    app = vg.App("shop")
    sales = app.topic("sale", Sale, key="product")
    sales.join(app.table("product", Sale, key="product").rename({"product": "p"})).to("out")
    with vg.connect(":memory:") as hub:
        hub.create_topic("sale", TopicConfig(partitions=2))
        hub.create_topic("product", TopicConfig(partitions=3, cleanup="compact"))
        with pytest.raises(HubError, match="product has 3, sale has 2"):
            Worker(app.name, app.topology, hub, MemoryRegistry())
