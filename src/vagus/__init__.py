"""Vagus: the central nervous system of a company's software.

>>> import vagus as vg
>>> vg.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vagus import errors as errors
    from vagus import services as services
    from vagus import testing as testing
    from vagus.events import Aliases as Aliases
    from vagus.events import Event as Event
    from vagus.events import Metadata as Metadata
    from vagus.events import Personal as Personal
    from vagus.hub import connect as connect
    from vagus.services import After as After
    from vagus.services import Cancel as Cancel
    from vagus.services import Command as Command
    from vagus.services import Conflict as Conflict
    from vagus.services import Decider as Decider
    from vagus.services import Deleted as Deleted
    from vagus.services import Done as Done
    from vagus.services import Outcome as Outcome
    from vagus.services import Refusal as Refusal
    from vagus.services import Refused as Refused
    from vagus.services import Row as Row
    from vagus.services import Service as Service
    from vagus.streams import Aggregate as Aggregate
    from vagus.streams import App as App
    from vagus.streams import Breaker as Breaker
    from vagus.streams import Call as Call
    from vagus.streams import Client as Client
    from vagus.streams import Retry as Retry
    from vagus.streams import Stream as Stream
    from vagus.streams import Table as Table
    from vagus.streams import Window as Window
    from vagus.streams import collect as collect
    from vagus.streams import count as count
    from vagus.streams import distinct_count as distinct_count
    from vagus.streams import first as first
    from vagus.streams import fold as fold
    from vagus.streams import hopping as hopping
    from vagus.streams import last as last
    from vagus.streams import max as max
    from vagus.streams import mean as mean
    from vagus.streams import min as min
    from vagus.streams import sum as sum
    from vagus.streams import tumbling as tumbling

__version__ = "0.1.0"

# Where each public name lives; it is imported when first used, which keeps `import vagus` quick.
# To add one: a line here, one in `__all__`, one among the imports for type checkers above.
_HOMES = {
    "After": "vagus.services",
    "Aggregate": "vagus.streams",
    "Aliases": "vagus.events",
    "App": "vagus.streams",
    "Breaker": "vagus.streams",
    "Call": "vagus.streams",
    "Cancel": "vagus.services",
    "Client": "vagus.streams",
    "Command": "vagus.services",
    "Conflict": "vagus.services",
    "Decider": "vagus.services",
    "Deleted": "vagus.services",
    "Done": "vagus.services",
    "Event": "vagus.events",
    "Metadata": "vagus.events",
    "Personal": "vagus.events",
    "Outcome": "vagus.services",
    "Refusal": "vagus.services",
    "Refused": "vagus.services",
    "Retry": "vagus.streams",
    "Row": "vagus.services",
    "Service": "vagus.services",
    "Stream": "vagus.streams",
    "Table": "vagus.streams",
    "Window": "vagus.streams",
    "collect": "vagus.streams",
    "connect": "vagus.hub",
    "count": "vagus.streams",
    "distinct_count": "vagus.streams",
    "first": "vagus.streams",
    "fold": "vagus.streams",
    "hopping": "vagus.streams",
    "last": "vagus.streams",
    "max": "vagus.streams",
    "mean": "vagus.streams",
    "min": "vagus.streams",
    "sum": "vagus.streams",
    "tumbling": "vagus.streams",
}

# Modules that are public as they are: `vg.errors.UnknownTopic`.
_MODULES = frozenset({"errors", "services", "testing"})

__all__ = [
    "After",
    "Aggregate",
    "Aliases",
    "App",
    "Breaker",
    "Call",
    "Cancel",
    "Client",
    "Command",
    "Conflict",
    "Decider",
    "Deleted",
    "Done",
    "Event",
    "Metadata",
    "Outcome",
    "Personal",
    "Refusal",
    "Refused",
    "Retry",
    "Row",
    "Service",
    "Stream",
    "Table",
    "Window",
    "__version__",
    "collect",
    "connect",
    "count",
    "distinct_count",
    "errors",
    "first",
    "fold",
    "hopping",
    "last",
    "max",
    "mean",
    "min",
    "services",
    "sum",
    "testing",
    "tumbling",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = import_module(f"vagus.{name}")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'vagus' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
