"""From an event class to its Avro record: which types a field may have, and how each is written.

This is the one place that looks at annotations. Everything else works from the Avro schema.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from vagus.errors import DeclarationError
from vagus.events.personal import Personal, personal_part

__all__ = ["avro_record", "fixed_size", "own_tag"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")

_PLAIN: dict[Any, Any] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
    datetime: {"type": "long", "logicalType": "timestamp-micros"},
    date: {"type": "int", "logicalType": "date"},
    time: {"type": "long", "logicalType": "time-micros"},
    # Avro has no type for a span of exact length; readers that don't know this one see a long.
    timedelta: {"type": "long", "logicalType": "duration-micros"},
    UUID: {"type": "string", "logicalType": "uuid"},
}

_INSTEAD: dict[Any, str] = {
    list: "list[T], with the type of its items",
    dict: "dict[str, T], with the type of its values",
    Any: "one of the supported types, or a nested model",
    object: "one of the supported types, or a nested model",
    tuple: "list[T], or a nested model",
    set: "list[T]",
    frozenset: "list[T]",
    Sequence: "list[T]",
    Iterable: "list[T]",
    Mapping: "dict[str, T]",
    bytearray: "bytes",
    complex: "a nested model of two floats",
    type(None): "an Optional of a type",
}

_SUPPORTED = (
    "str, int, float, bool, bytes, datetime, date, time, timedelta, Decimal with precision, UUID, "
    "Enum, Literal, Optional, list, dict with text keys, a nested model or a tagged union"
)


@cache
def avro_record(model: type[BaseModel]) -> dict[str, Any]:
    """The Avro schema of an event class, as JSON values. Do not change it.

    Raises DeclarationError for a field whose type can't be written.
    """
    if not model.__pydantic_complete__:
        model.model_rebuild()
    record: dict[str, Any] = _Declaration().record(model, model.__name__)
    return record


def fixed_size(precision: int) -> int:
    """How many bytes hold every decimal of that many digits: 4, 8 or 16."""
    return 4 if precision <= 9 else 8 if precision <= 18 else 16


class _Declaration:
    """Derives one record; remembers the named types that it has already written out."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}
        self._open: list[type[BaseModel]] = []

    def record(self, model: type[BaseModel], where: str) -> Any:
        if model in self._open:
            raise DeclarationError(
                f"expected a type that doesn't contain itself, got {model.__name__}",
                where=where,
                hint="columns have no recursive types: refer to the other one by its key",
            )
        if _known(self._named, model.__name__, model, where):
            return model.__name__
        if self._open and not model.model_fields:
            raise DeclarationError(
                f"expected a model with fields, got {model.__name__}, which has none",
                where=where,
                hint="use bool, or give it a field",
            )
        self._named[model.__name__] = model
        record: dict[str, Any] = {"type": "record", "name": model.__name__}
        namespace = getattr(model, "__record_namespace__", None)
        if namespace and not self._open:
            record["namespace"] = namespace
        if aliases := getattr(model, "__record_aliases__", ()):
            record["aliases"] = list(aliases)
        # The docstring of a base class says nothing of this one.
        if model.__dict__.get("__doc__"):
            record["doc"] = " ".join(str(model.__doc__).split())
        if (tag := own_tag(model)) is not None:
            record["tag"] = tag
        self._open.append(model)
        record["fields"] = [
            self._field(f"{where}.{name}", name, info, model)
            for name, info in model.model_fields.items()
        ]
        self._open.pop()
        return record

    def _field(
        self, where: str, name: str, info: FieldInfo, owner: type[BaseModel]
    ) -> dict[str, Any]:
        if not _NAME.match(name):
            raise DeclarationError(
                f"expected a name of ASCII letters, digits and underscores, got {name!r}",
                where=where,
                hint="rename the field",
            )
        notes, known_as = [info, *info.metadata], f"{owner.__name__}_{name}"
        field: dict[str, Any] = {"name": name}
        if any(isinstance(note, Personal) for note in info.metadata):
            if len(self._open) > 1:
                raise _misplaced(where)
            # Its type stands in a property, where no other field finds a name defined.
            inside = _Declaration()._type(info.annotation, notes, where, known_as)
            field |= personal_part(owner, name, inside, where)
        else:
            field["type"] = self._type(info.annotation, notes, where, known_as)
        kind = field["type"]
        has_default, value = _default(info)
        if has_default:
            if isinstance(kind, list) and kind[0] == "null" and value is not None:
                # A default is of the first type of its union.
                field["type"] = kind = [*kind[1:], "null"]
            field["default"] = _json_default(value, kind, where)
        if info.description:
            field["doc"] = info.description
        aliases = [old for part in info.metadata for old in getattr(part, "names", ())]
        if aliases:
            field["aliases"] = aliases
        return field

    def _type(self, kind: Any, notes: list[Any], where: str, name: str) -> Any:
        if get_origin(kind) is Annotated:
            inner, *more = get_args(kind)
            if any(isinstance(note, Personal) for note in more):
                raise _misplaced(where)
            return self._type(inner, [*more, *notes], where, name)
        if hasattr(kind, "__value__"):  # a type alias, of `typing` or of its backport
            return self._type(kind.__value__, notes, where, name)
        if hasattr(kind, "__supertype__"):
            return self._type(kind.__supertype__, notes, where, name)
        if kind in _PLAIN:
            plain = _PLAIN[kind]
            return dict(plain) if isinstance(plain, dict) else plain
        origin, inside = get_origin(kind), get_args(kind)
        if kind is Decimal:
            return self._decimal(notes, where)
        if origin is Literal:
            return self._symbols(kind, name, list(inside), where)
        if origin in (Union, types.UnionType):
            return self._union(inside, notes, where, name)
        if origin is list:
            return {"type": "array", "items": self._type(inside[0], [], where, name)}
        if origin is dict:
            if inside[0] is not str:
                raise _refused(where, kind, "dict[str, T]: keys are text")
            return {"type": "map", "values": self._type(inside[1], [], where, name)}
        if isinstance(kind, type) and issubclass(kind, Enum):
            return self._symbols(kind, kind.__name__, [member.value for member in kind], where)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return self.record(kind, where)
        raise _refused(where, kind, _INSTEAD.get(origin or kind) or f"one of {_SUPPORTED}")

    def _decimal(self, notes: list[Any], where: str) -> Any:
        precision, scale = _attribute(notes, "max_digits"), _attribute(notes, "decimal_places")
        if precision is None or scale is None or not 0 <= scale <= precision <= 38:
            raise _refused(
                where,
                "Decimal without precision"
                if precision is None or scale is None
                else f"Decimal of {precision} digits, {scale} of them after the point",
                "Annotated[Decimal, Field(max_digits=12, decimal_places=2)], up to 38 digits",
            )
        name = f"Decimal_{precision}_{scale}"
        if _known(self._named, name, name, where):
            return name
        self._named[name] = name
        return {
            "type": "fixed",
            "name": name,
            "size": fixed_size(precision),
            "logicalType": "decimal",
            "precision": precision,
            "scale": scale,
        }

    def _symbols(self, kind: Any, name: str, values: list[Any], where: str) -> Any:
        if not values or not all(isinstance(value, str) for value in values):
            raise _refused(where, kind, "an Enum or Literal whose values are text")
        if not all(_NAME.match(value) for value in values):
            return "string"  # Avro's symbols are names; the class still allows only its values
        if _known(self._named, name, kind, where):
            return name
        self._named[name] = kind
        return {"type": "enum", "name": name, "symbols": list(dict.fromkeys(values))}

    def _union(self, inside: tuple[Any, ...], notes: list[Any], where: str, name: str) -> Any:
        optional = type(None) in inside
        kinds = [kind for kind in inside if kind is not type(None)]
        if len(kinds) == 1:
            inner = self._type(kinds[0], notes, where, name)
            branches = inner if isinstance(inner, list) else [inner]
        else:
            branches = self._tagged(kinds, notes, where)
        if optional and "null" not in branches:
            branches = ["null", *branches]
        return branches if len(branches) > 1 else branches[0]

    def _tagged(self, kinds: list[Any], notes: list[Any], where: str) -> list[Any]:
        shown = " | ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
        tag = _attribute(notes, "discriminator")
        if not isinstance(tag, str):
            raise _refused(
                where,
                shown,
                "one type, or a tagged union of models: "
                'Annotated[A | B, Field(discriminator="kind")] where each has a kind: Literal["…"]',
            )
        for kind in kinds:
            known = kind.model_fields.get(tag)
            values = get_args(known.annotation) if known else ()
            if len(values) != 1 or own_tag(kind) != values[0]:
                raise _refused(
                    where, shown, f"models whose first Literal field is {tag}, with one value each"
                )
        return [self.record(kind, where) for kind in kinds]


def _misplaced(where: str) -> DeclarationError:
    return DeclarationError(
        "expected a whole field of the event to be personal, got a part of one",
        where=where,
        hint='make it a field of its own: Annotated[str | None, vg.Personal("customer_id")]',
    )


def _known(named: dict[str, Any], name: str, what: Any, where: str) -> bool:
    if name not in named:
        return False
    if named[name] != what:
        raise DeclarationError(
            f"expected one type named {name!r}, got two", where=where, hint="rename one of them"
        )
    return True


def _refused(where: str, kind: Any, instead: str) -> DeclarationError:
    shown = kind if isinstance(kind, str) else getattr(kind, "__name__", None) or repr(kind)
    if get_args(kind):
        shown = str(kind).replace("typing.", "")
    return DeclarationError(
        f"expected a type that an event can hold, got {shown}", where=where, hint=f"use {instead}"
    )


def _attribute(notes: list[Any], name: str) -> Any:
    """The first value of a constraint, wherever pydantic keeps it."""
    for note in notes:
        if (value := getattr(note, name, None)) is not None:
            return value
        if isinstance(note, FieldInfo) and (value := _attribute(note.metadata, name)) is not None:
            return value
    return None


def own_tag(model: type[BaseModel]) -> str | None:
    """What tells this model from others in a tagged union: its first Literal of one value."""
    for info in model.model_fields.values():
        if get_origin(info.annotation) is Literal:
            values = get_args(info.annotation)
            return values[0] if len(values) == 1 and isinstance(values[0], str) else None
    return None


def _default(info: FieldInfo) -> tuple[bool, Any]:
    if info.default_factory in (list, dict):
        return True, info.default_factory()
    if info.default_factory is not None or info.is_required():
        return False, None  # other factories give another value each time
    return True, info.default


def _json_default(value: Any, kind: Any, where: str) -> Any:
    """A Python default as Avro writes it in a schema."""
    if isinstance(kind, list):
        if value is None:
            return None
        if len([branch for branch in kind if branch != "null"]) > 1:
            raise DeclarationError(
                "expected no default, or None, for a tagged union",
                where=where,
                hint="leave the default away",
            )
        kind = next(branch for branch in kind if branch != "null")
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        record = avro_record(type(value))
        return {
            field["name"]: _json_default(getattr(value, field["name"]), field["type"], where)
            for field in record["fields"]
        }
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, Decimal):
        if isinstance(kind, str):  # a name: the digits are in it
            _, precision, scale = kind.rsplit("_", 2)
        else:
            precision, scale = kind["precision"], kind["scale"]
        number = int(value.scaleb(int(scale)).to_integral_value())
        return number.to_bytes(fixed_size(int(precision)), "big", signed=True).decode("latin-1")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise DeclarationError(
                "expected a default with a time zone", where=where, hint="add tzinfo=UTC"
            )
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if isinstance(value, date):
        return (value - date(1970, 1, 1)).days
    if isinstance(value, time):
        return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + (
            value.microsecond
        )
    if isinstance(value, timedelta):
        return value // timedelta(microseconds=1)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, list):
        return [_json_default(item, kind["items"], where) for item in value]
    if isinstance(value, dict):
        return {key: _json_default(item, kind["values"], where) for key, item in value.items()}
    return float(value) if kind == "double" else value
