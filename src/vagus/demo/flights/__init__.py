"""A year of departures from New York, joined, counted in windows, and watched for delays."""

from __future__ import annotations

from vagus.demo.flights.demo import run

__all__ = ["run"]
