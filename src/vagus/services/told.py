"""What a process manager is told of its commands that were refused, and how that gets there.

A process's commands say in a header which process, and which case of it, sent them. Whoever
refuses one writes so to its topic `{aggregate}-refusal`, in the commit in which it decides; the
process reads that topic like those of events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl
from pydantic_core import from_json, to_json

from vagus.events import Field, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.frame import KEY, SEQ, SYSTEM, TIME, TOMBSTONE
from vagus.runtime.topic import Topic
from vagus.services.body import from_body, to_body
from vagus.services.command import Command
from vagus.services.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagus.events import Event
    from vagus.events.encrypting import Encrypting
    from vagus.runtime.batch import Batch

__all__ = ["REFUSAL", "Listening", "Refusal", "Told", "refusal_topic"]

REFUSAL = "vagus.Refusal"
"""The type of refusals among the events of a process; no class can be called so."""

_SCHEMA = RecordSchema.build(
    "Refusal",
    [
        Field.of(name, pl.String(), nullable=False)
        for name in ("process", "command", "body", "code", "message", "data")
    ],
)


@dataclass(frozen=True, eq=False)
class Refusal:
    """What `react` of a process is given where a command that the process sent was refused.

    >>> import vagus as vg
    >>> class ReserveStock(vg.Command):
    ...     sku: str
    >>> def react(event, case):
    ...     match event:
    ...         case vg.Refusal(command=ReserveStock(), reason=vg.Refused(code="sold-out")):
    ...             return "compensate"
    >>> react(vg.Refusal(ReserveStock(sku="tea"), vg.Refused("sold-out")), None)
    'compensate'
    """

    command: Event
    reason: Refused


def refusal_topic(commands: Topic) -> Topic | None:
    """The topic that tells of refusals of a topic's commands; None if no aggregate takes them."""
    name = commands.name.removesuffix("-command")
    types = [schema.event_type for schema in commands.schemas]
    if name == commands.name or not all(one and issubclass(one, Command) for one in types):
        return None
    return Topic(
        f"{name}-refusal",
        (_SCHEMA,),
        key_kind=commands.key_kind,
        config=TopicConfig(partitions=commands.config.partitions),
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A refusal on its way to the case `process` (service/process/key) that sent the command."""

    process: str
    command: str
    body: str
    code: str
    message: str
    data: str

    @classmethod
    def of(cls, process: str, command: Event, refused: Refused, keys: Encrypting) -> Told:
        """What is written of a refusal. Raises ValueError if its data can't be."""
        return cls(
            process,
            type(command).__name__,
            to_body(command, keys),
            refused.code,
            refused.reason,
            to_json(refused.data).decode(),
        )

    @classmethod
    def frame(cls, told: Sequence[Told], commands: pl.DataFrame) -> pl.DataFrame:
        """Refusals as a frame of their topic; `commands` are the rows of what was refused."""
        rows = pl.DataFrame([asdict(one) for one in told], schema=_SCHEMA.columns)
        return commands.select(SYSTEM).hstack(rows)

    def refusal(self, command_type: type[Event], keys: Encrypting) -> Refusal:
        """What the process is given. Raises DecodeError, and what pydantic raises."""
        command = from_body(command_type, self.body, keys)
        return Refusal(command, Refused.of(self.code, self.message, from_json(self.data)))


class Listening:
    """Puts the refusals that a process is to hear of into envelopes, with the key of the case."""

    def __init__(self, process: str, empty: pl.DataFrame) -> None:
        self._process, self._empty = f"{process}/", empty

    def __call__(self, inputs: Sequence[pl.DataFrame], batch: Batch) -> pl.DataFrame:
        frame = inputs[0]
        frame = frame.filter(~pl.col(TOMBSTONE) & pl.col("process").str.starts_with(self._process))
        if not frame.height:
            return self._empty
        key = pl.col("process").str.strip_prefix(self._process).cast(self._empty.schema[KEY])
        return frame.select(
            SEQ,
            key.alias(KEY),
            TIME,
            TOMBSTONE,
            pl.lit(REFUSAL).alias("type"),
            pl.struct(*_SCHEMA.columns).struct.json_encode().alias("body"),
        ).select(self._empty.columns)
