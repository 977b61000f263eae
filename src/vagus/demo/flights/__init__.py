"""A year of departures from New York, joined, counted in windows, and watched for delays."""

from vagus.demo.flights.demo import run

__all__ = ["run"]
