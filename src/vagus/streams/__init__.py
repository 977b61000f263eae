"""Streams: the columnar stream API."""

from __future__ import annotations

from vagus.runtime.batch import Retry
from vagus.streams.aggregates import (
    Aggregate,
    collect,
    count,
    distinct_count,
    first,
    fold,
    last,
    max,
    mean,
    min,
    sum,
)
from vagus.streams.app import App
from vagus.streams.client import Client
from vagus.streams.followed import ViewNotReady
from vagus.streams.handlers import Breaker, BreakerOpen, Call
from vagus.streams.stream import Stream
from vagus.streams.table import Table
from vagus.streams.view import View
from vagus.streams.views import Views
from vagus.streams.windows import Window, hopping, tumbling

__all__ = [
    "Aggregate",
    "App",
    "Breaker",
    "BreakerOpen",
    "Call",
    "Client",
    "Retry",
    "Stream",
    "Table",
    "View",
    "ViewNotReady",
    "Views",
    "Window",
    "collect",
    "count",
    "distinct_count",
    "first",
    "fold",
    "hopping",
    "last",
    "max",
    "mean",
    "min",
    "sum",
    "tumbling",
]
