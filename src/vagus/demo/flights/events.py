"""What is said: departures, and what is known of airlines, planes and the weather."""

from __future__ import annotations

from datetime import datetime

from vagus.events import Event


class Departure(Event):
    """A flight left, or was cancelled.

    It is told when it happens, but belongs to the time at which it was to leave: that is its event
    time. Departures therefore arrive out of order, by up to a day.
    """

    flight: str
    carrier: str
    origin: str
    destination: str
    tail_number: str | None
    scheduled_at: datetime
    delay_min: int | None  # below 0: early; None: cancelled
    distance_mi: int


class Airline(Event):
    """The name behind a carrier's code."""

    carrier: str
    airline: str


class Plane(Event):
    """A plane, by the number on its tail. Many that flew are in no register."""

    tail_number: str
    built: int | None
    kind: str
    manufacturer: str
    model: str
    engines: int
    seats: int
    engine: str


class Weather(Event):
    """The weather of one hour at one airport; `place_hour` is like `EWR-2013-01-31T17` (UTC)."""

    place_hour: str
    place: str
    hour: datetime
    temperature_f: float | None
    dew_point_f: float | None
    humidity_pct: float | None
    wind_direction_deg: int | None
    wind_mph: float | None
    gust_mph: float | None
    rain_in: float | None
    pressure_mb: float | None
    visibility_mi: float | None
