"""Buses on the road: how fast is each, and who drives too fast?

vagus run examples/fleet.py --http :8080    # in one terminal
python examples/fleet.py                    # in another: ten minutes of traffic
curl localhost:8080/views/bus-speed/bus-3
vagus consume too-fast
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl

import vagus as vg


class BusPosition(vg.Event):
    bus_id: str
    driver_id: int
    latitude: float
    longitude: float
    speed_kmh: float
    at: datetime


class Driver(vg.Event):
    driver_id: int
    name: str


app = vg.App("fleet")
positions = app.topic("bus-position", BusPosition, key="bus_id", time="at", partitions=4)
drivers = app.table("driver", Driver, key="driver_id")

enriched = positions.join(drivers, on="driver_id").to("bus-position-enriched", partitions=4)
enriched.filter(pl.col("speed_kmh") > 80).select("bus_id", "name", "speed_kmh").to("too-fast")

speed = (
    positions.window(vg.hopping("3m", every="1m", grace="30s"), by="bus_id")
    .agg(speed_kmh=vg.mean("speed_kmh"), readings=vg.count())
    .to_table("bus-speed", partitions=4)
)


@app.on(speed.filter(pl.col("speed_kmh") > 80))
async def warn(row: tuple[object, ...]) -> None:
    print("too fast for three minutes:", row)


DRIVERS = [Driver(driver_id=n, name=name) for n, name in enumerate(("Ada", "Grace", "Emmy"))]


def traffic(start: datetime, seed: int = 1) -> Iterator[BusPosition]:
    """Ten minutes of nine buses, each telling every 15 seconds where it is."""
    chance = random.Random(seed)
    for tick in range(40):
        for bus in range(9):
            yield BusPosition(
                bus_id=f"bus-{bus}",
                driver_id=bus % len(DRIVERS),
                latitude=30.2672 + chance.uniform(-0.1, 0.1),
                longitude=-97.7431 + chance.uniform(-0.1, 0.1),
                speed_kmh=max(0.0, chance.gauss(30 + 6 * bus, 10)),
                at=start + timedelta(seconds=15 * tick),
            )


if __name__ == "__main__":
    with vg.Client(app) as client:
        client.send(drivers, DRIVERS)
        client.send(positions, traffic(datetime.now(UTC)))
