"""One builds, any answers; what was waited for is there."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import vagus as vg
from tests.services.views.running import followed, hub_in, until
from tests.services.views.shop import Shop, dropped, paid, placed
from vagus.errors import VagusError
from vagus.hub import TopicPartition
from vagus.services import ExpiredToken, ForeignToken, Queries, Token, ViewBehind

ROOT = Path(__file__).parents[3]


def test_a_query_with_a_token_sees_what_the_token_speaks_of(tmp_path: Path):
    shop = Shop(partitions=3)
    with (
        hub_in(tmp_path) as hub,
        vg.Client(shop.service, hub) as client,
        followed(shop.service, hub) as queries,
    ):
        view = queries["orders"]
        for n in range(50):
            token = Token("shop", client.send(shop.orders, placed(n), acks="leader"))
            assert view.get(f"o{n:03}", token=token.text(), wait_s=30) is not None
            assert view.reached(token)


def test_a_coroutine_waits_for_a_token(tmp_path: Path):
    shop = Shop()

    async def ask(client: Any, view: Any) -> None:
        for n in range(20):
            token = Token("shop", client.send(shop.orders, placed(n), acks="leader"))
            await view.reach(token, 30)
            assert view.get(f"o{n:03}") is not None

    with (
        hub_in(tmp_path) as hub,
        vg.Client(shop.service, hub) as client,
        followed(shop.service, hub) as queries,
    ):
        asyncio.run(ask(client, queries["orders"]))


def test_positions_in_topics_that_the_view_does_not_read_are_not_waited_for():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, placed(1))
        token = Token("shop", {TopicPartition("other", 0): 9}, 1_700_000_000_000)
        assert h.queries["orders"].get("o001", token=token) is not None


def test_a_view_that_is_not_so_far_says_so_after_the_deadline():
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.run()
        h.client.send(shop.orders, placed(1))
        token = Token("shop", {TopicPartition("order", 0): 1}, 1_700_000_000_000)
        with pytest.raises(ViewBehind, match=r"did not reach the token within 0.01 s"):
            h.queries["orders"].get("o001", token=token, wait_s=0.01)


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (Token("stock", {}, 1_700_000_000_000), ForeignToken),
        (Token("shop", {}, 1_600_000_000_000), ExpiredToken),
        (Token("shop", {TopicPartition("order", 0): 9}, 1_700_000_000_000), ForeignToken),
    ],
)
def test_a_token_that_is_of_no_use_is_refused(token: Token, error: type[VagusError]):
    shop = Shop()
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, placed(1))
        with pytest.raises(error):
            h.queries["orders"].get("o001", token=token, wait_s=0)


def test_a_position_moves_past_events_that_the_view_makes_nothing_of():
    shop = Shop(lambda event, rows: None)
    with vg.testing.Harness(shop.service) as h:
        h.send(shop.orders, [placed(n) for n in range(5)])
        token = Token("shop", {TopicPartition("order", 0): 5}, 1_700_000_000_000)
        assert h.queries["orders"].reached(token)


def test_two_that_follow_share_one_file_and_one_builds(tmp_path: Path):
    shop, other = Shop(), Shop()
    with (
        hub_in(tmp_path) as hub,
        vg.Client(shop.service, hub) as client,
        followed(shop.service, hub) as first,
        followed(other.service, hub) as second,
    ):
        assert (first.builds, second.builds) == (True, False)
        token = Token("shop", client.send(shop.orders, placed(1), acks="leader"))
        assert second["orders"].get("o001", token=token, wait_s=30) is not None
        first.close()
        until(lambda: second.builds)
        token = Token("shop", client.send(shop.orders, placed(2), acks="leader"))
        assert second["orders"].get("o002", token=token, wait_s=30) is not None


def test_the_file_of_another_service_is_refused(tmp_path: Path):
    with hub_in(tmp_path) as hub:
        path = str(tmp_path / "views.db")
        with Queries(Shop().service, hub, path=path):
            pass
        other = vg.Service("other")
        with pytest.raises(
            VagusError, match="the views of this service, got that of service 'shop'"
        ):
            Queries(other, hub, path=path)


@pytest.mark.parametrize("content", [b"nonsense" * 1000, None])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes | None):
    path = tmp_path / "views.db"
    with hub_in(tmp_path) as hub:
        if content is None:
            path = tmp_path / "hub.db"
        else:
            path.write_bytes(content)
        with pytest.raises(VagusError, match="expected"):
            Queries(Shop().service, hub, path=str(path))
        assert content is None or path.read_bytes() == content


def test_a_partition_that_is_added_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from vagus.services.views import keeper

    monkeypatch.setattr(keeper, "_LOOK_S", 0.0)
    monkeypatch.setattr(keeper, "_WAIT_S", 0.05)
    shop = Shop()
    with hub_in(tmp_path) as hub, followed(shop.service, hub) as queries:
        info = hub.describe_topic("order")
        hub.alter_topic("order", vg_config(info.config, 4), force=True)
        with vg.Client(shop.service, hub) as client:
            client.send(shop.orders, [placed(n) for n in range(20)])
        until(lambda: len(queries["orders"]) == 20)


def vg_config(config: Any, partitions: int) -> Any:
    from dataclasses import replace

    return replace(config, partitions=partitions)


def test_events_that_are_gone_before_the_view_saw_them_stop_it(tmp_path: Path):
    shop = Shop()
    with hub_in(tmp_path) as hub, vg.Client(shop.service, hub) as client:
        with followed(shop.service, hub):
            client.send(shop.orders, placed(0))
        client.send(shop.orders, [placed(n) for n in range(5)])
        hub.trim({TopicPartition("order", 0): 6})
        with Queries(shop.service, hub) as queries:
            queries.follow()
            error = until(lambda: queries.errors().get("orders"))
            assert "events that it hasn't seen are gone" in str(error)


# Processes that die


BUILDER = """
    import sys
    import vagus as vg
    from tests.services.views.shop import Shop
    from vagus.services import Queries

    shop = Shop(partitions=3)
    with vg.connect(sys.argv[1]) as hub, Queries(shop.service, hub) as queries:
        queries.follow()
        print("following", flush=True)
        sys.stdin.read()
"""


def builder(hub: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(BUILDER), hub],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
def test_builders_that_are_killed_at_any_moment_leave_the_rows_of_a_model(
    tmp_path: Path, seed: int
):
    print("seed", seed)
    dice = random.Random(seed)
    shop = Shop(partitions=3)
    model: dict[str, str] = {}
    positions: dict[TopicPartition, int] = {}
    running: list[subprocess.Popen[str]] = []
    started: list[subprocess.Popen[str]] = []
    with hub_in(tmp_path) as hub, vg.Client(shop.service, hub) as client:
        client.send(shop.orders, [placed(0)])
        model["o000"] = "placed"
        try:
            for _ in range(4):
                running = [each for each in running if each.poll() is None]
                while len(running) < 2:
                    running.append(builder(str(tmp_path / "hub.db")))
                    started.append(running[-1])
                    assert running[-1].stdout is not None
                    assert running[-1].stdout.readline() == "following\n"
                for _ in range(dice.randrange(1, 12)):
                    positions |= client.send(shop.orders, some(dice, model), acks="leader")
                    time.sleep(dice.random() * 0.02)
                running[0].send_signal(signal.SIGKILL)
                running[0].wait()
            with Queries(shop.service, hub) as queries:
                queries.follow()
                token = Token("shop", positions)
                queries.wait_ready(60)
                rows = queries["orders"].find(limit=10_000, token=token, wait_s=60)
                assert {row.order_id: row.status for row in rows} == model
                for row in rows:
                    assert row.total == Decimal(int(row.order_id[1:])) / 4
        finally:
            for each in started:
                each.kill()
                each.wait()
                for pipe in (each.stdin, each.stdout):
                    if pipe is not None:
                        pipe.close()


def some(dice: random.Random, model: dict[str, str]) -> list[Any]:
    """Events that the view can take, and what they make of the model."""
    events: list[Any] = []
    for _ in range(dice.randrange(1, 200)):
        number = dice.randrange(300)
        key = f"o{number:03}"
        kind = dice.random()
        if key not in model or kind < 0.5:
            events.append(placed(number))
            model[key] = "placed"
        elif kind < 0.8:
            events.append(paid(number))
            model[key] = "paid"
        else:
            events.append(dropped(number))
            del model[key]
    return events
