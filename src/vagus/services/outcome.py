"""Outcomes: what came of a command, and how it is written into a reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic_core import from_json, to_json

from vagus.errors import VagusError
from vagus.hub import TopicPartition
from vagus.services.refusal import Refused
from vagus.services.token import Token

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Accepted", "CommandFailed", "Outcome", "Recorded"]


class CommandFailed(VagusError):
    """The service could not decide the command, which is now among its dead letters.

    Nothing of it happened, and it may be replayed once the service is mended.
    """


class Recorded(NamedTuple):
    """An event that came of a command: the name of its type, and its place.

    >>> Recorded("OrderPlaced", "order-event", 0, 17).offset
    17
    """

    type: str
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command.

    `status` is "accepted", "refused", or "pending" if nobody waited for it. `events` are the
    events that came of it, `version` is how many the aggregate has with them. `refused` says why
    it was refused. `command_id` is the command's id in traces.

    >>> from vagus.services import Recorded
    >>> outcome = Outcome("order", "c-1", "accepted", (Recorded("Placed", "order-event", 0, 7),), 1)
    >>> outcome.accepted, outcome.version, outcome.token.positions
    (True, 1, {TopicPartition(topic='order-event', partition=0): 8})
    """

    service: str
    command_id: str
    status: Literal["accepted", "refused", "pending"]
    events: tuple[Recorded, ...] = ()
    version: int | None = None
    refused: Refused | None = None

    @property
    def accepted(self) -> bool:
        """Whether the command was accepted."""
        return self.status == "accepted"

    @property
    def token(self) -> Token:
        """What a query is given so that it sees the effects; that of a refusal waits for none."""
        positions: dict[TopicPartition, int] = {}
        for event in self.events:
            positions[TopicPartition(event.topic, event.partition)] = event.offset + 1
        return Token(self.service, positions)

    def check(self) -> Outcome:
        """The outcome itself. Raises the refusal if there is one."""
        if self.refused is not None:
            raise self.refused
        return self


class Accepted(NamedTuple):
    """The answer to an accepted command: what the events are, and where they lie."""

    topic: str
    partition: int
    version: int
    types: Sequence[str]
    offsets: Sequence[int]

    def text(self) -> str:
        """As it is written into a reply; the names are letters, digits and the like."""
        names = ",".join([f'"{name}"' for name in self.types])
        places = ",".join(map(str, self.offsets))
        return (
            f'{{"version":{self.version},"topic":"{self.topic}","partition":{self.partition},'
            f'"types":[{names}],"offsets":[{places}]}}'
        )


def refused_text(refused: Refused) -> str:
    """The answer to a refused command. Raises ValueError if its data can't be written."""
    parts = {"code": refused.code, "message": refused.reason, "data": refused.data}
    return to_json({"refused": parts}).decode()


def failed_text(error: BaseException) -> str:
    """The answer to a command that could not be decided."""
    return to_json({"failed": f"{type(error).__name__}: {error}"}).decode()


def read_outcome(service: str, command_id: str, answer: Accepted | str | bytes) -> Outcome:
    """The outcome that an answer tells. Raises CommandFailed if it tells of a failure."""
    if not isinstance(answer, Accepted):
        said: dict[str, Any] = from_json(answer)
        if "refused" in said:
            parts = said["refused"]
            refused = Refused.of(parts["code"], parts["message"], parts["data"])
            return Outcome(service, command_id, "refused", refused=refused)
        if "failed" in said:
            raise CommandFailed(
                said["failed"],
                where=f"service {service!r}, command {command_id}",
                hint="`vagus dead-letters` shows it; nothing of it happened. Mend "
                f"{service!r}, replay it",
            )
        answer = Accepted(*map(said.__getitem__, Accepted._fields))
    topic, partition, version, types, offsets = answer
    events = [
        Recorded(name, topic, partition, offset)
        for name, offset in zip(types, offsets, strict=True)
    ]
    return Outcome(service, command_id, "accepted", tuple(events), version)
