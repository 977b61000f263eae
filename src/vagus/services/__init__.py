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
from vagus.services.views import (
    BadQuestion,
    Change,
    Changes,
    Deleted,
    Page,
    Queries,
    Row,
    Rows,
    ServiceView,
    UnknownField,
    UnknownView,
    ViewBehind,
    ViewNotBuilt,
    ViewStopped,
    ViewType,
    rows_after,
)

__all__ = [
    "After",
    "AggregateType",
    "BadQuestion",
    "BadToken",
    "Cancel",
    "Change",
    "Changes",
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
    "Page",
    "ProcessType",
    "Queries",
    "Recorded",
    "Refused",
    "Row",
    "Rows",
    "Service",
    "ServiceClient",
    "ServiceView",
    "Token",
    "TopicOwned",
    "UnknownField",
    "UnknownView",
    "ViewBehind",
    "ViewNotBuilt",
    "ViewStopped",
    "ViewType",
    "instances",
    "owners",
    "release",
    "rows_after",
]
