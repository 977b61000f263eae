"""Personal data: which fields hold it, and how a schema says so.

A field marked `Personal` is kept encrypted: its column holds bytes that only the key of one person
opens. Its schema says so in a property, so that whoever reads the topic knows, with or without the
class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vagus.errors import DeclarationError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from vagus.events.schema import Field

__all__ = ["PROPERTY", "Mark", "Personal", "marks_of", "personal_part"]

PROPERTY = "vagus.personal"
"""The property of a field in an Avro schema."""

_HINT = 'write email: Annotated[str | None, vg.Personal("customer_id")] = None'
_PLAIN = {"string", "int", "long", "float", "double", "boolean"}


@dataclass(frozen=True, slots=True)
class Personal:
    """Marks a field as personal data of the person whose id is in the field `person`.

    The field is stored encrypted with a key of that person, and reads as None once the person is
    forgotten: it must be Optional.

    >>> from typing import Annotated
    >>> from vagus.events import Event
    >>> class Customer(Event):
    ...     customer_id: int
    ...     email: Annotated[str | None, Personal("customer_id")] = None
    """

    person: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What a schema says of an encrypted column.

    `person` is the field that names the person, `field` the name that the values are bound to
    (what it was called where it was encrypted), `kind` the Avro type of what is inside, as JSON.
    """

    person: str
    field: str
    kind: str

    @classmethod
    def of(cls, avro: Mapping[str, Any]) -> Mark | None:
        """The mark of a field of an Avro schema, or None if it isn't personal."""
        import json

        said = avro.get(PROPERTY)
        if not isinstance(said, dict) or not {"person", "field", "type"} <= said.keys():
            return None
        return cls(said["person"], said["field"], json.dumps(said["type"], sort_keys=True))


def marks_of(fields: Mapping[str, Field]) -> dict[str, Mark]:
    """The encrypted columns among these."""
    return {
        name: mark for name, field in fields.items() if (mark := Mark.of(field.avro)) is not None
    }


def personal_part(model: type[BaseModel], name: str, kind: Any, where: str) -> dict[str, Any]:
    """What becomes of a marked field's type in the schema: bytes, and the property.

    `kind` is the Avro type that the field would have otherwise. Raises DeclarationError for a
    field that can't be personal.
    """
    info = model.model_fields[name]
    marker = next(note for note in info.metadata if isinstance(note, Personal))
    branches = kind if isinstance(kind, list) else [kind]
    inner = [branch for branch in branches if branch != "null"]
    if len(inner) == len(branches):
        raise DeclarationError(
            "expected a personal field that may be None, as it is when the person is forgotten",
            where=where,
            hint=_HINT,
        )
    if len(inner) != 1 or not _is_single(inner[0]):
        raise DeclarationError(
            "expected a personal field of text, a number, a boolean, a date or a time",
            where=where,
            hint="make a personal field of each part",
        )
    if not info.is_required() and (info.default_factory is not None or info.default is not None):
        raise DeclarationError(
            "expected a personal field without a default, or with None: a default is no secret",
            where=where,
            hint=_HINT,
        )
    person = model.model_fields.get(marker.person)
    if person is None or marker.person == name:
        raise DeclarationError(
            f"expected the field that holds the person's id, got {marker.person!r}",
            where=where,
            hint=f"there are {', '.join(each for each in model.model_fields if each != name)}",
        )
    if any(isinstance(note, Personal) for note in person.metadata):
        raise DeclarationError(
            f"expected a person's id that can be read, got {marker.person!r}, which is personal "
            "itself",
            where=where,
            hint="an id says nothing of a person: draw one at random",
        )
    inside = "string" if isinstance(inner[0], dict) and inner[0]["type"] == "enum" else inner[0]
    said = {"person": marker.person, "field": name, "type": inside}
    return {"type": ["null", "bytes"], PROPERTY: said}


def _is_single(kind: Any) -> bool:
    if isinstance(kind, str):
        return kind in _PLAIN
    return kind["type"] in _PLAIN or kind["type"] in ("enum", "fixed")
