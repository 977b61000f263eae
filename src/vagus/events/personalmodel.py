"""Personal fields of models that are kept as JSON: states, and rows of views."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import BaseModel

from vagus.errors import DeclarationError
from vagus.events.personal import Personal

__all__ = ["personal_fields"]


@lru_cache(maxsize=256)
def personal_fields(kind: type[Any]) -> Mapping[str, str]:
    """The personal fields of a pydantic model or a dataclass, each with the one of its person.

    Raises DeclarationError for marks that can't be kept to: in nested models, on fields that can't
    be None, for persons that are no field.
    """
    found: dict[str, str] = {}
    annotations = _annotations(kind)
    for name, (annotation, notes) in annotations.items():
        where = f"{kind.__name__}.{name}"
        mark = next((note for note in notes if isinstance(note, Personal)), None)
        if _holds_mark(annotation, set()):
            raise DeclarationError(
                "expected a whole field to be personal, got a part of one",
                where=where,
                hint="mark fields of the model itself",
            )
        if mark is None:
            continue
        if type(None) not in typing.get_args(annotation):
            raise DeclarationError(
                "expected a personal field that may be None, as it is when the person is forgotten",
                where=where,
                hint='write email: Annotated[str | None, vg.Personal("customer_id")] = None',
            )
        if mark.person not in annotations or mark.person == name:
            raise DeclarationError(
                f"expected the field that holds the person's id, got {mark.person!r}",
                where=where,
                hint=f"there are {', '.join(each for each in annotations if each != name)}",
            )
        found[name] = mark.person
    for name, person in found.items():
        if person in found:
            raise DeclarationError(
                f"expected a person's id that can be read, got {person!r}, which is personal "
                "itself",
                where=f"{kind.__name__}.{name}",
            )
    return MappingProxyType(found)


def _annotations(kind: type[Any]) -> dict[str, tuple[Any, list[Any]]]:
    """The fields: what each is without notes, and the notes."""
    if issubclass(kind, BaseModel):
        if not kind.__pydantic_complete__:
            kind.model_rebuild()
        return {name: (info.annotation, info.metadata) for name, info in kind.model_fields.items()}
    if not dataclasses.is_dataclass(kind):
        return {}
    hints = typing.get_type_hints(kind, include_extras=True)
    found = {}
    for each in dataclasses.fields(kind):
        hint, notes = hints[each.name], []
        if typing.get_origin(hint) is Annotated:
            hint, *notes = typing.get_args(hint)
        found[each.name] = hint, notes
    return found


def _holds_mark(annotation: Any, seen: set[Any]) -> bool:
    """Whether there is a mark anywhere inside a type."""
    if hasattr(annotation, "__value__"):  # a type alias
        return _holds_mark(annotation.__value__, seen)
    if typing.get_origin(annotation) is Annotated:
        inner, *notes = typing.get_args(annotation)
        return any(isinstance(note, Personal) for note in notes) or _holds_mark(inner, seen)
    if arguments := typing.get_args(annotation):
        return any(_holds_mark(each, seen) for each in arguments)
    if not isinstance(annotation, type) or annotation in seen:
        return False
    seen.add(annotation)
    return any(
        any(isinstance(note, Personal) for note in notes) or _holds_mark(inner, seen)
        for inner, notes in _annotations(annotation).values()
    )
