"""The applications of `examples/` do what they say."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

from vagus import Client
from vagus.testing import Harness

EXAMPLES = Path(__file__).parents[2] / "examples"
MIDNIGHT = datetime(2026, 5, 1, tzinfo=UTC)


def load(name: str) -> ModuleType:
    """The example as a module, read anew."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where annotations are looked up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_is_tested_here_and_fits_on_a_screen(name: str) -> None:
    assert name in {"fleet", "orders", "sensors"}
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 80


def test_fleet_gives_each_position_its_driver(capsys: pytest.CaptureFixture[str]) -> None:
    fleet = load("fleet")
    positions = list(fleet.traffic(MIDNIGHT))
    with Harness(fleet.app) as h:
        h.send(fleet.drivers, fleet.DRIVERS)
        h.send(fleet.positions, positions)
        names = h.read("bus-position-enriched").select("bus_id", "name").unique().sort("bus_id")
        too_fast = h.read("too-fast")
        speeds = h.views["bus-speed"].get("bus-3")
    assert names["name"].to_list() == ["Ada", "Grace", "Emmy"] * 3
    assert too_fast.height == sum(position.speed_kmh > 80 for position in positions) > 0
    known = [p for p in positions if p.bus_id == "bus-3"]
    start = MIDNIGHT + timedelta(minutes=4)
    inside = [p.speed_kmh for p in known if start <= p.at < start + timedelta(minutes=3)]
    row = next(row for row in speeds if row["window_start"] == start)
    assert row["readings"] == len(inside) == 12
    assert row["speed_kmh"] == pytest.approx(sum(inside) / len(inside))
    assert "too fast for three minutes" in capsys.readouterr().out


def test_orders_are_followed_from_type_to_type() -> None:
    orders = load("orders")
    with Harness(orders.app) as h:
        h.send(orders.orders, orders.story(MIDNIGHT))
        assert h.views["order"].get("A-1") == {
            "order_id": "A-1",
            "state": "OrderPaid",
            "customer": "Lovelace",
            "amount": Decimal("1250.00"),
        }
        states = h.views["orders-by-state"].scan()
        customers = h.views["customer"].scan()
        large = h.read("large-order")
    counted = dict(states.filter(pl.col("orders") > 0).select("state", "orders").iter_rows())
    assert counted == {"OrderPlaced": 1, "OrderPaid": 1, "OrderCancelled": 1}
    assert customers.rows() == [
        ("Hopper", 1, Decimal("19.90")),
        ("Lovelace", 2, Decimal("1250.00")),
    ]
    assert large["order_id"].to_list() == ["A-1"]


def test_sensors_set_apart_what_is_damaged_and_tell_what_is_late() -> None:
    sensors = load("sensors")
    with Harness(sensors.app) as h:
        h.send(sensors.lines, sensors.day(MIDNIGHT))
        assert [letter.step for letter in h.dead_letters] == ["line.map_events"]
        assert h.read("reading").height == 289  # 288 regular ones and the late one
        assert h.read("late-reading")["celsius"].to_list() == [99.0]
        before = h.views["hourly"].scan().height
        h.advance("2m")
        hours = h.views["hourly"].scan()
    assert before == 23  # the last hour is open: nothing later has come
    assert hours.height == 24
    assert hours.row(0, named=True)["mean"] == sum(range(15, 27)) / 12


@pytest.mark.parametrize(
    ("name", "topic", "count"),
    [("fleet", "bus-position-enriched", 360), ("orders", "order", 3), ("sensors", "reading", 289)],
)
def test_an_example_runs_by_the_commands_at_its_head(
    name: str, topic: str, count: int, tmp_path: Path
) -> None:
    file = str(EXAMPLES / f"{name}.py")
    command = [sys.executable, "-c", "import sys, vagus.cli; sys.exit(vagus.cli.main())"]
    with subprocess.Popen([*command, "run", file], cwd=tmp_path) as running:
        subprocess.run([sys.executable, file], cwd=tmp_path, check=True)
        with Client(load(name).app, str(tmp_path / "vagus.db")) as client:
            while running.poll() is None and client.read(topic).select("_key").height < count:
                time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
    assert running.returncode == 0
