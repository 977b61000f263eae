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

__all__ = [
    "After",
    "AggregateType",
    "BadToken",
    "Cancel",
    "Command",
    "CommandFailed",
    "CommandTimedOut",
    "Conflict",
    "Decider",
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
    "Recorded",
    "Refused",
    "Service",
    "ServiceClient",
    "Token",
    "TopicOwned",
    "instances",
    "owners",
    "release",
]
