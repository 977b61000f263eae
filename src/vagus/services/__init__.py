"""Services: commands, aggregates, views of events, and what follows from them."""

from __future__ import annotations

from vagus.runtime.owners import TopicOwned, owners, release
from vagus.services.aggregate import AggregateType
from vagus.services.client import CommandTimedOut, ServiceClient
from vagus.services.command import Command
from vagus.services.decider import Decider
from vagus.services.exchange import Overloaded
from vagus.services.outcome import CommandFailed, Outcome, Recorded
from vagus.services.processes import After, Cancel, Done, Instance, ProcessType, instances
from vagus.services.refusal import Conflict, Expired, KeyReused, Refused
from vagus.services.service import Service
from vagus.services.token import BadToken, ExpiredToken, ForeignToken, MalformedToken, Token
from vagus.services.told import Refusal
from vagus.services.views import (
    BadQuestion,
    Deleted,
    Queries,
    Row,
    UnknownField,
    UnknownView,
    ViewBehind,
    ViewNotBuilt,
    ViewStopped,
    rows_after,
)

__all__ = [
    "After",
    "AggregateType",
    "BadQuestion",
    "BadToken",
    "Cancel",
    "Command",
    "CommandFailed",
    "CommandTimedOut",
    "Conflict",
    "Decider",
    "Deleted",
    "Done",
    "Expired",
    "ExpiredToken",
    "ForeignToken",
    "Instance",
    "KeyReused",
    "MalformedToken",
    "Outcome",
    "Overloaded",
    "ProcessType",
    "Queries",
    "Recorded",
    "Refusal",
    "Refused",
    "Row",
    "Service",
    "ServiceClient",
    "Token",
    "TopicOwned",
    "UnknownField",
    "UnknownView",
    "ViewBehind",
    "ViewNotBuilt",
    "ViewStopped",
    "instances",
    "owners",
    "release",
    "rows_after",
]
