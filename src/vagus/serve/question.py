"""Questions: the parameters of a request, what they may be, and how they are read."""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vagus.errors import nearest
from vagus.serve.problem import Problem

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams

    from vagus.streams import View

LIMIT = 100
LIMIT_MAX = 10_000

_INT64 = 1 << 63


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: its JSON schema, what it means, and how its text is read.

    `read` raises ValueError with what was expected.
    """

    name: str
    schema: Mapping[str, Any]
    meaning: str
    read: Callable[[str], Any]
    place: str = "query"

    def openapi(self) -> dict[str, Any]:
        """The parameter as OpenAPI describes it."""
        return {
            "name": self.name,
            "in": self.place,
            "required": self.place == "path",
            "description": self.meaning,
            "schema": dict(self.schema),
        }

    def value(self, text: str, allowed: Sequence[str]) -> Any:
        """What the text means. Raises Problem."""
        try:
            return self.read(text)
        except ValueError as error:
            raise Problem(
                422,
                "wrong-parameter",
                f"expected {error} for {self.name!r}, got {text!r}",
                more={"allowed": list(allowed)},
            ) from None


def key_of(view: View) -> Parameter:
    """The key in the path."""
    return _key("key", view, "The key of the row.", place="path")


def page_of(view: View, *, one_key: bool) -> list[Parameter]:
    """What a page of a view's rows can be asked for with; `one_key` where the key is given."""
    found = [
        Parameter(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
            "How many rows at most.",
            _limit,
        )
    ]
    if not one_key:
        if view.topic.key_kind in ("str", "uuid"):
            found.append(Parameter("prefix", {"type": "string"}, "What the keys begin with.", str))
        found.append(_key("after", view, "Only rows behind this key (see `next`)."))
    if view.windowed:
        found += [
            _moment("after_window", "Only rows behind this start of a window (see `next`)."),
            _moment("window_from", "Only windows that start then or later."),
            _moment("window_to", "Only windows that start before then."),
        ]
    return found


def read_query(given: QueryParams, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The values of a request's parameters. Raises Problem for one that isn't known or wrong."""
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in given.multi_items():
        if name not in known or name in values:
            what = "one value for" if name in values else "no parameter"
            raise Problem(
                422,
                "wrong-parameter",
                f"expected {what} {name!r}",
                hint=None if name in values else nearest(name, known),
                more={"allowed": list(known)},
            )
        values[name] = known[name].value(text, list(known))
    if "after_window" in values and "after" in known and "after" not in values:
        raise Problem(
            422,
            "wrong-parameter",
            "expected 'after' where there is 'after_window'",
            more={"allowed": list(known)},
        )
    return values


def _key(name: str, view: View, meaning: str, *, place: str = "query") -> Parameter:
    schema, read = _KEYS[view.topic.key_kind]
    return Parameter(name, schema, meaning, read, place)


def _moment(name: str, meaning: str) -> Parameter:
    return Parameter(name, {"type": "string", "format": "date-time"}, meaning, _time)


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LIMIT_MAX:
        raise ValueError(f"a whole number from 1 to {LIMIT_MAX:,}")
    return int(text)


def _int(text: str) -> int:
    try:
        number = int(text[:32])
    except ValueError:
        number = _INT64
    if not -_INT64 <= number < _INT64 or len(text) > 32:
        raise ValueError("a whole number of 64 bits")
    return number


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ValueError("a UUID") from None


def _bytes(text: str) -> bytes:
    try:
        plain = text.replace("+", "-").replace("/", "_").rstrip("=")
        return b64decode(plain + "=" * (-len(plain) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("bytes in base64") from None


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time such as 2026-05-01T12:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a time that says its zone, such as 2026-05-01T12:00:00Z,")
    return moment


_KEYS: dict[str, tuple[dict[str, Any], Callable[[str], Any]]] = {
    "str": ({"type": "string"}, str),
    "int": ({"type": "integer", "format": "int64"}, _int),
    "uuid": ({"type": "string", "format": "uuid"}, _uuid),
    "bytes": ({"type": "string", "contentEncoding": "base64url"}, _bytes),
}
