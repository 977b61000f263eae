"""Services: commands, aggregates, views of events, and what follows from them."""

from __future__ import annotations

from vagus.runtime.owners import TopicOwned, owners, release
from vagus.services.aggregate import AggregateType
from vagus.services.client import CommandTimedOut, ServiceClient
from vagus.services.command import Command
from vagus.services.decider import Decider
from vagus.services.exchange import Overloaded
from vagus.services.outcome import CommandFailed, Outcome, Recorded
from vagus.services.refusal import Conflict, Expired, KeyReused, Refused
from vagus.services.service import Service
from vagus.services.token import BadToken, ExpiredToken, ForeignToken, MalformedToken, Token

__all__ = [
    "AggregateType",
    "BadToken",
    "Command",
    "CommandFailed",
    "CommandTimedOut",
    "Conflict",
    "Decider",
    "Expired",
    "ExpiredToken",
    "ForeignToken",
    "KeyReused",
    "MalformedToken",
    "Outcome",
    "Overloaded",
    "Recorded",
    "Refused",
    "Service",
    "ServiceClient",
    "Token",
    "TopicOwned",
    "owners",
    "release",
]
