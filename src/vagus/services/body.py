"""Bodies: events as text, for topics that hold events of whatever type."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic_core import to_json

from vagus.errors import DeclarationError
from vagus.events import RecordSchema
from vagus.events.personalmodel import personal_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vagus.events import Event
    from vagus.events.encrypting import Encrypting

__all__ = ["check_json", "from_body", "to_body"]


def check_json(event_types: Sequence[type[Event]], where: str) -> None:
    """Raise DeclarationError for events that JSON can't hold: those with bytes."""
    for event_type in event_types:
        for field in RecordSchema.of(event_type).plain.fields.values():
            if "Binary" in str(field.dtype):
                raise DeclarationError(
                    f"expected no bytes, got the field {event_type.__name__}.{field.name}",
                    where=where,
                    hint="carry it as text, or leave it out with map_events before",
                )


def to_body(event: Event, keys: Encrypting) -> str:
    """An event as JSON, personal fields encrypted."""
    fields = personal_fields(type(event))
    text = to_json(event, bytes_mode="base64").decode()
    return json.dumps(keys.seal_object(json.loads(text), fields)) if fields else text


def from_body(kind: type[Event], body: str, keys: Encrypting) -> Event:
    """The event that was written so. Raises DecodeError, and what pydantic raises."""
    if fields := personal_fields(kind):
        body = json.dumps(keys.open_object(json.loads(body), fields))
    return kind.model_validate_json(body)
