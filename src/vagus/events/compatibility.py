"""Whether a new version of a schema can live with the old ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, get_args

from vagus.errors import IncompatibleSchema, SchemaError

__all__ = ["LEVELS", "Level", "check_compatibility", "versions_to_check"]

Level = Literal[
    "NONE",
    "BACKWARD",
    "BACKWARD_TRANSITIVE",
    "FORWARD",
    "FORWARD_TRANSITIVE",
    "FULL",
    "FULL_TRANSITIVE",
]
"""What a new schema has to be able to do: BACKWARD ones read what older ones wrote, FORWARD ones
write what older ones read, FULL ones both; with the newest version, or with all (TRANSITIVE)."""

LEVELS: tuple[Level, ...] = get_args(Level)

_WIDER = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_NAMED = ("record", "error", "enum", "fixed")


def versions_to_check(old: Sequence[str], level: Level) -> list[str]:
    """Those of the old versions (oldest first) that a level looks at."""
    if level == "NONE":
        return []
    return list(old) if level.endswith("_TRANSITIVE") else list(old[-1:])


def check_compatibility(
    new: str, old: Sequence[str], level: Level, *, subject: str | None = None
) -> None:
    """Raise IncompatibleSchema if the schema `new` can't follow the versions `old`.

    `old` is oldest first; unless the level is transitive only the last one matters. The error
    names the field, what broke, and how to mend it.

    >>> one = '{"type":"record","name":"A","fields":[]}'
    >>> two = '{"type":"record","name":"A","fields":[{"name":"x","type":"long"}]}'
    >>> check_compatibility(two, [one], "NONE")
    >>> check_compatibility(two, [one], "BACKWARD")
    Traceback (most recent call last):
    ...
    vagus.errors.IncompatibleSchema: BACKWARD: events of the old schema have no field 'x', and \
it has no default (at A.x): give it a default
    """
    for version in reversed(versions_to_check(old, level)):
        pairs = []
        if level.startswith(("BACKWARD", "FULL")):
            pairs.append((version, new, "BACKWARD", "old", "new"))
        if level.startswith(("FORWARD", "FULL")):
            pairs.append((new, version, "FORWARD", "new", "old"))
        for writer, reader, direction, wrote, reads in pairs:
            _Check(direction, wrote, reads, subject).run(_loaded(writer), _loaded(reader))


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise SchemaError(f"expected a schema in JSON: {error}", where=text[:80]) from None


class _Check:
    """One reading of events of one schema as another."""

    def __init__(self, direction: str, wrote: str, reads: str, subject: str | None) -> None:
        self.direction, self.wrote, self.reads = direction, wrote, reads
        self.subject = subject
        self._writer_names: dict[str, Any] = {}
        self._reader_names: dict[str, Any] = {}
        self._seen: set[tuple[str, str]] = set()

    def run(self, writer: Any, reader: Any) -> None:
        _collect(writer, "", self._writer_names)
        _collect(reader, "", self._reader_names)
        where = reader.get("name", "schema") if isinstance(reader, dict) else "schema"
        self.check(writer, reader, where, "", "")

    def fail(self, where: str, what: str, hint: str) -> IncompatibleSchema:
        place = f"{where} in subject {self.subject}" if self.subject else where
        return IncompatibleSchema(f"{self.direction}: {what}", where=place, hint=hint)

    def check(self, w: Any, r: Any, where: str, w_space: str, r_space: str) -> None:
        if isinstance(w, list):
            for branch in w:
                self._check_branch(branch, r, where, w_space, r_space)
            return
        if isinstance(r, list):
            self._check_branch(w, r, where, w_space, r_space)
            return
        w, w_full, w_space = _found(w, self._writer_names, w_space)
        r, r_full, r_space = _found(r, self._reader_names, r_space)
        w_base, r_base = _base(w), _base(r)
        if w_base == "error":
            w_base = "record"
        if r_base == "error":
            r_base = "record"
        if w_base != r_base:
            if r_base in _WIDER.get(w_base, ()):
                return
            raise self._types(w, r, where)
        if w_base in _NAMED:
            self._check_named(w, r, w_full, r_full, where, w_space, r_space)
        elif w_base == "array":
            self.check(w["items"], r["items"], f"{where}[]", w_space, r_space)
        elif w_base == "map":
            self.check(w["values"], r["values"], f"{where}{{}}", w_space, r_space)
        else:
            self._check_logical(w, r, where)

    def _types(self, w: Any, r: Any, where: str) -> IncompatibleSchema:
        return self.fail(
            where,
            f"the {self.wrote} schema writes {_shown(w)}, which can't be read as the "
            f"{self.reads} schema's {_shown(r)}",
            "keep the type, or add a field of another name with a default",
        )

    def _check_branch(self, w: Any, r: Any, where: str, w_space: str, r_space: str) -> None:
        """A type, or a branch of the writer's union, against the reader's type."""
        if not isinstance(r, list):
            if w == "null":
                raise self.fail(
                    where,
                    f"the {self.wrote} schema may write null, and the {self.reads} one allows none",
                    "keep the field Optional",
                )
            self.check(w, r, where, w_space, r_space)
            return
        first: IncompatibleSchema | None = None
        for branch in r:
            seen = set(self._seen)
            try:
                self.check(w, branch, where, w_space, r_space)
                return
            except IncompatibleSchema as error:
                self._seen = seen
                # The branch of the same kind tells most of what broke.
                if first is None or _base(_found(w, self._writer_names, w_space)[0]) == _base(
                    _found(branch, self._reader_names, r_space)[0]
                ):
                    first = error
        if first is not None and len([branch for branch in r if branch != "null"]) == 1:
            raise first
        shown = ", ".join(_shown(branch) for branch in r)
        raise self.fail(
            where,
            f"the {self.wrote} schema writes {_shown(w)}, which is none of {shown}",
            "keep the type among those of the union",
        )

    def _check_named(
        self, w: Any, r: Any, w_full: str, r_full: str, where: str, w_space: str, r_space: str
    ) -> None:
        if (w_full, r_full) in self._seen:
            return
        self._seen.add((w_full, r_full))
        short = w_full.rpartition(".")[2]
        aliases = [str(alias).rpartition(".")[2] for alias in r.get("aliases", ())]
        if short != r_full.rpartition(".")[2] and short not in aliases:
            raise self.fail(
                where,
                f"the {self.wrote} schema names this type {w_full!r}, the {self.reads} one "
                f"{r_full!r}",
                f"keep the name, or give the class aliases=({short!r},)",
            )
        if _base(w) == "enum":
            lost = [symbol for symbol in w["symbols"] if symbol not in r["symbols"]]
            if lost and "default" not in r:
                raise self.fail(
                    where,
                    f"the {self.wrote} schema may write {', '.join(map(repr, lost))}, which the "
                    f"{self.reads} one doesn't have",
                    "keep the symbol"
                    if self.direction == "BACKWARD"
                    else "add symbols only at level BACKWARD, or make the field text",
                )
        elif _base(w) == "fixed":
            if w["size"] != r["size"]:
                raise self._types(w, r, where)
            self._check_logical(w, r, where)
        else:
            self._check_fields(w, r, where, w_space, r_space)

    def _check_fields(self, w: Any, r: Any, where: str, w_space: str, r_space: str) -> None:
        written = {part["name"]: part for part in w["fields"]}
        for part in r["fields"]:
            place = f"{where}.{part['name']}"
            names = (part["name"], *part.get("aliases", ()))
            source = next((written[name] for name in names if name in written), None)
            if source is not None:
                self.check(source["type"], part["type"], place, w_space, r_space)
            elif "default" not in part:
                raise self.fail(
                    place,
                    f"events of the {self.wrote} schema have no field {part['name']!r}, and it "
                    "has no default",
                    "give it a default"
                    if self.direction == "BACKWARD"
                    else "keep the field: those who read it know no default for it",
                )

    def _check_logical(self, w: Any, r: Any, where: str) -> None:
        w_kind, r_kind = _logical(w), _logical(r)
        if w_kind == r_kind or w_kind is None or r_kind is None:
            if w_kind == r_kind == "decimal" and _digits(w) != _digits(r):
                raise self._types(w, r, where)
            if "decimal" in (w_kind, r_kind) and w_kind != r_kind:
                raise self._types(w, r, where)
            return
        raise self._types(w, r, where)


def _collect(kind: Any, namespace: str, names: dict[str, Any]) -> None:
    if isinstance(kind, list):
        for branch in kind:
            _collect(branch, namespace, names)
    elif isinstance(kind, dict):
        base = kind.get("type")
        if base in _NAMED:
            full, inner = _full(kind, namespace)
            names[full] = (kind, inner)
            for part in kind.get("fields", ()):
                _collect(part["type"], inner, names)
        elif base == "array":
            _collect(kind["items"], namespace, names)
        elif base == "map":
            _collect(kind["values"], namespace, names)


def _full(kind: Any, namespace: str) -> tuple[str, str]:
    name = str(kind["name"])
    if "." in name:
        return name, name.rpartition(".")[0]
    namespace = kind.get("namespace", namespace) or ""
    return (f"{namespace}.{name}" if namespace else name), namespace


def _found(kind: Any, names: dict[str, Any], namespace: str) -> tuple[Any, str, str]:
    """The definition, full name and namespace of a type that may be a name."""
    if isinstance(kind, str):
        for full in (f"{namespace}.{kind}", kind):
            if full in names:
                return names[full][0], full, names[full][1]
        return kind, kind, namespace
    if isinstance(kind, dict) and kind.get("type") in _NAMED:
        full, inner = _full(kind, namespace)
        return kind, full, inner
    return kind, "", namespace


def _base(kind: Any) -> str:
    while isinstance(kind, dict):
        kind = kind["type"]
    return str(kind)


def _logical(kind: Any) -> str | None:
    return kind.get("logicalType") if isinstance(kind, dict) else None


def _digits(kind: Any) -> tuple[int, int]:
    return kind.get("precision", 0), kind.get("scale", 0)


def _shown(kind: Any) -> str:
    if isinstance(kind, list):
        return " | ".join(_shown(branch) for branch in kind)
    if isinstance(kind, dict):
        if kind.get("logicalType") == "decimal":
            return "decimal({}, {})".format(*_digits(kind))
        return str(kind.get("logicalType") or kind.get("name") or kind["type"])
    return str(kind)
