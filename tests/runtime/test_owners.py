"""Topics that one application alone may write."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

import vagus as vg
from vagus.runtime.owners import TopicOwned, claim, owners, release

if TYPE_CHECKING:
    from vagus.hub import Hub


@pytest.fixture
def hub() -> Hub:
    return vg.connect(":memory:")


def test_a_claimed_topic_is_refused_to_another_application(hub: Hub) -> None:
    claim(hub, "order", {"order-event", "order-command"})
    with pytest.raises(TopicOwned, match="to belong to 'shop', but it belongs to 'order'"):
        claim(hub, "shop", {"order-event"})
    assert owners(hub) == {"order-command": "order", "order-event": "order"}


def test_an_application_may_claim_its_topics_again(hub: Hub) -> None:
    claim(hub, "order", {"order-event"})
    claim(hub, "order", {"order-event", "order-command"})
    assert owners(hub) == {"order-command": "order", "order-event": "order"}


def test_topics_that_were_given_up_can_be_claimed(hub: Hub) -> None:
    claim(hub, "order", {"order-event"})
    assert release(hub, "order") == ["order-event"]
    claim(hub, "shop", {"order-event"})
    assert owners(hub) == {"order-event": "shop"}


def test_of_several_that_claim_at_once_one_succeeds(hub: Hub) -> None:
    refused = []

    def try_it(app: str) -> None:
        try:
            claim(hub, app, {"order-event"})
        except TopicOwned:
            refused.append(app)

    threads = [threading.Thread(target=try_it, args=(f"app-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7
    assert set(owners(hub).values()).isdisjoint(refused)
