"""The application: what is made of the departures while they arrive.

It is an application file like any other: `vagus run`, `vagus describe` and `vagus dead-letters`
take it.
"""

from __future__ import annotations

import polars as pl

import vagus as vg
from vagus.demo.flights.events import Airline, Departure, Plane, Weather

PARTITIONS = 4

# The latest departure of the year left 21 hours and 41 minutes after its time.
LONGEST_DELAY = "1d"

# Windows by airline see departures of all airports. Workers read the airports side by side, so
# that one may be months ahead of another while they catch up: nothing is late within the year.
WHOLE_YEAR = "400d"

app = vg.App("flights")

# By airport: every departure has one (a tail number is often unknown), those of an airport stay
# in order, and the windows by airport need no repartition topic.
departures = app.topic(
    "departure", Departure, key="origin", time="scheduled_at", partitions=PARTITIONS
)
airlines = app.table("airline", Airline, key="carrier")
planes = app.table("plane", Plane, key="tail_number")
weather = app.table("weather", Weather, key="place_hour", time="hour")

_hour = pl.col("scheduled_at").dt.strftime("%Y-%m-%dT%H")

enriched = (
    departures.with_columns(place_hour=pl.format("{}-{}", "origin", _hour))
    .join(planes, on="tail_number", how="left")
    .join(airlines, on="carrier")
    .join(weather, on="place_hour", how="left")
    .select(
        "flight",
        "airline",
        "carrier",
        "origin",
        "destination",
        "tail_number",
        "scheduled_at",
        "delay_min",
        "distance_mi",
        "manufacturer",
        "model",
        "built",
        "seats",
        "wind_mph",
        "rain_in",
        "visibility_mi",
    )
    .to("departure-enriched", partitions=PARTITIONS)
)

alerts = (
    enriched.filter(pl.col("delay_min") > 60)
    .select(
        "flight",
        "airline",
        "origin",
        "destination",
        "scheduled_at",
        "delay_min",
        "model",
        "wind_mph",
        "visibility_mi",
    )
    .to("delay-alert", partitions=PARTITIONS)
)

airport_delay = (
    departures.window(vg.tumbling("1h", grace=LONGEST_DELAY), by="origin")
    .agg(
        departures=vg.count(),
        left=vg.count("delay_min"),
        delay_min=vg.mean("delay_min"),
        worst_delay_min=vg.max("delay_min"),
    )
    .to_table("airport-delay-1h", partitions=PARTITIONS)
)

airline_delay = (
    enriched.select("carrier", "airline", "delay_min")
    .window(vg.hopping("3h", every="1h", grace=WHOLE_YEAR), by="carrier")
    .agg(
        airline=vg.last("airline"),
        departures=vg.count(),
        left=vg.count("delay_min"),
        delay_min=vg.mean("delay_min"),
    )
    .to_table("airline-delay-3h", partitions=PARTITIONS)
)
