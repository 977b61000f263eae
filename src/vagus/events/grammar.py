"""Avro schemas as text: whether one is sound, and whether two say the same."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from vagus.errors import SchemaError, nearest
from vagus.events.parse import full_name

__all__ = ["check_schema", "same_text"]

_SIMPLE = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "error", "enum", "fixed"})
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FULL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_WHOLE = {"int": 1 << 31, "long": 1 << 63}
_DEPTH = 100


def check_schema(text: str) -> None:
    """Raise SchemaError, with the place, for what is no Avro schema in JSON.

    >>> check_schema('["null", "string"]')
    >>> check_schema('{"type":"record","name":"A","fields":[{"name":"x","type":"strin"}]}')
    Traceback (most recent call last):
    ...
    vagus.errors.SchemaError: expected an Avro type, got 'strin' (at A.x): did you mean 'string'?
    """
    _Walk().form(_parsed(text))


def same_text(text: str) -> str:
    """The schema's one spelling: of schemas that differ only in how they are written, the same.

    That is white space, the order of members, and how names are shared out between `name` and
    `namespace`. Raises SchemaError for what isn't JSON.

    >>> same_text('{"type": "string"}')
    '"string"'
    """
    kind = _parsed(text)
    with suppress(SchemaError):  # what isn't Avro as we know it is told apart by its JSON
        kind = _Walk().form(kind)
    return json.dumps(kind, sort_keys=True, separators=(",", ":"))


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"expected a schema in JSON: {error}", where=text[:80]) from None


class _Walk:
    """Goes through one schema, checks it, and spells it with full names and without ornament."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def form(self, kind: Any, where: str = "schema", space: str = "", depth: int = 0) -> Any:
        """The type's one spelling. Raises SchemaError."""
        if depth > _DEPTH:
            raise SchemaError(f"expected no more than {_DEPTH} types within each other")
        if isinstance(kind, list):
            return self._union(kind, where, space, depth)
        if isinstance(kind, str):
            return self._reference(kind, where, space)
        if not isinstance(kind, dict) or "type" not in kind:
            raise SchemaError(f"expected an Avro type, got {_shown(kind)}", where=where)
        base = kind["type"]
        if isinstance(base, str) and base in _NAMED:
            return self._named(kind, base, where, space, depth)
        if base in ("array", "map"):
            part = "items" if base == "array" else "values"
            if part not in kind:
                raise SchemaError(f"expected {part!r} of the {base}, got none", where=where)
            return {**kind, part: self.form(kind[part], f"{where}[]", space, depth + 1)}
        inner = self.form(base, where, space, depth + 1)
        if len(kind) == 1:
            return inner
        self._check_decimal(kind, where)
        return {**kind, "type": inner}

    def _union(self, kinds: list[Any], where: str, space: str, depth: int) -> list[Any]:
        forms, seen = [], set()
        for kind in kinds:
            if isinstance(kind, list):
                raise SchemaError("expected no union within a union", where=where)
            form = self.form(kind, where, space, depth + 1)
            what = _label(form)
            if what in seen:
                raise SchemaError(
                    f"expected each type of a union once, got two {what}", where=where
                )
            seen.add(what)
            forms.append(form)
        return forms

    def _reference(self, name: str, where: str, space: str) -> str:
        if name in _SIMPLE:
            return name
        for full in (name if "." in name or not space else f"{space}.{name}", name):
            if full in self._known:
                return full
        raise _unknown(name, where, self._known)

    def _named(
        self, kind: dict[str, Any], base: str, where: str, space: str, depth: int
    ) -> dict[str, Any]:
        if not isinstance(kind.get("name"), str):
            raise SchemaError(f"expected the name of the {base}, got none", where=where)
        if not isinstance(kind.get("namespace") or "", str):
            raise SchemaError("expected a namespace as text", where=where)
        full, inner = full_name(kind, space)
        if not _FULL_NAME.fullmatch(full):
            raise SchemaError(
                f"expected a name of letters, digits and '_', got {full!r}", where=where
            )
        if full in self._known or full in _SIMPLE:
            raise SchemaError(f"expected each name once, got two {full!r}", where=where)
        place = full if where == "schema" else where
        self._known[full] = form = {**kind, "name": full}
        form.pop("namespace", None)
        aliases = _texts(form.pop("aliases", []), "aliases", place)
        if aliases:
            form["aliases"] = [a if "." in a or not inner else f"{inner}.{a}" for a in aliases]
        if base == "enum":
            self._check_enum(kind, place)
        elif base == "fixed":
            size = kind.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise SchemaError(f"expected a size in bytes, got {_shown(size)}", where=place)
            self._check_decimal(kind, place)
        else:
            form["fields"] = self._fields(kind.get("fields"), place, inner, depth)
        return form

    def _fields(self, parts: Any, where: str, space: str, depth: int) -> list[dict[str, Any]]:
        if not isinstance(parts, list):
            raise SchemaError(f"expected a list of fields, got {_shown(parts)}", where=where)
        forms, seen = [], set()
        for part in parts:
            name = part.get("name") if isinstance(part, dict) else None
            if not isinstance(name, str) or not _NAME.fullmatch(name):
                raise SchemaError(f"expected a field with a name, got {_shown(part)}", where=where)
            if name in seen:
                raise SchemaError(f"expected each field once, got two {name!r}", where=where)
            seen.add(name)
            place = f"{where}.{name}"
            if "type" not in part:
                raise SchemaError("expected the type of the field, got none", where=place)
            form = {**part, "type": self.form(part["type"], place, space, depth + 1)}
            if not _texts(form.get("aliases", []), "aliases", place):
                form.pop("aliases", None)
            if form.get("order") == "ascending":
                del form["order"]
            if "default" in part and not self._fits(part["default"], form["type"]):
                raise SchemaError(
                    f"expected a default that fits {_label(form['type'])}, "
                    f"got {_shown(part['default'])}",
                    where=place,
                )
            forms.append(form)
        return forms

    def _check_enum(self, kind: dict[str, Any], where: str) -> None:
        symbols = _texts(kind.get("symbols"), "symbols", where)
        if len(set(symbols)) < len(symbols) or not all(map(_NAME.fullmatch, symbols)):
            raise SchemaError(
                f"expected symbols of letters, digits and '_', each once, got {_shown(symbols)}",
                where=where,
            )
        if "default" in kind and kind["default"] not in symbols:
            raise SchemaError(
                f"expected one of the symbols as default, got {_shown(kind['default'])}",
                where=where,
            )

    def _check_decimal(self, kind: dict[str, Any], where: str) -> None:
        if kind.get("logicalType") != "decimal":
            return
        precision, scale = kind.get("precision"), kind.get("scale", 0)
        sound = isinstance(precision, int) and isinstance(scale, int) and 0 <= scale <= precision
        if not sound or not precision:
            raise SchemaError(
                f"expected a precision, and a scale no larger, got {_shown(precision)} and "
                f"{_shown(scale)}",
                where=where,
            )

    def _fits(self, value: Any, kind: Any) -> bool:
        """Whether a JSON value is a default of a type in its one spelling."""
        if isinstance(kind, list):
            return any(self._fits(value, each) for each in kind)
        if isinstance(kind, str) and kind in self._known:
            kind = self._known[kind]
        base = kind["type"] if isinstance(kind, dict) else kind
        if isinstance(base, (dict, list)):
            return self._fits(value, base)
        if base in _WHOLE:
            number = isinstance(value, int) and not isinstance(value, bool)
            return number and -_WHOLE[base] <= value < _WHOLE[base]
        if base in ("float", "double"):
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return number or value in ("NaN", "Infinity", "-Infinity")
        if base == "null":
            return value is None
        if base == "boolean":
            return isinstance(value, bool)
        if base == "array":
            return isinstance(value, list) and all(self._fits(v, kind["items"]) for v in value)
        if base == "map":
            return isinstance(value, dict) and all(
                self._fits(v, kind["values"]) for v in value.values()
            )
        if base in ("record", "error"):
            return isinstance(value, dict) and all(
                self._fits(value.get(part["name"], part.get("default")), part["type"])
                for part in kind.get("fields", ())
            )
        if not isinstance(value, str):
            return False
        if base == "enum":
            return value in kind["symbols"]
        if base in ("bytes", "fixed"):
            return all(ord(each) < 256 for each in value) and (
                base == "bytes" or len(value) == kind["size"]
            )
        return True


def _label(form: Any) -> str:
    """What tells a type from the others of a union."""
    if isinstance(form, list):
        return " | ".join(map(_label, form))
    if isinstance(form, dict):
        return str(form["name"]) if form["type"] in _NAMED else _label(form["type"])
    return str(form)


def _texts(value: Any, what: str, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SchemaError(f"expected {what} as a list of texts, got {_shown(value)}", where=where)
    return value


def _unknown(name: str, where: str, known: dict[str, Any]) -> SchemaError:
    return SchemaError(
        f"expected an Avro type, got {name!r}", where=where, hint=nearest(name, [*_SIMPLE, *known])
    )


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"
