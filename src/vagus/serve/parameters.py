"""What a view of events may be asked over HTTP: the parameters, read and described."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vagus.serve.route import parameter
from vagus.services.views import BadQuestion
from vagus.services.views.question import LIMIT, LIMIT_MAX, field_of
from vagus.services.views.view import WAIT_S

if TYPE_CHECKING:
    from fastapi import Request

    from vagus.services.views import ServiceView

WAIT_MAX_S = 60.0

PAGE_NAMES = ("sort", "search", "limit", "after")
TOKEN_NAMES = ("token", "wait_s")


def read_question(
    request: Request, view: ServiceView, reserved: tuple[str, ...]
) -> tuple[dict[str, Any], dict[str, Any], str | None, float]:
    """The parameters of a request: what is asked, the filters, the token and how long to wait."""
    asked: dict[str, Any] = {}
    filters: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name in reserved or name in TOKEN_NAMES:
            if name in asked:
                raise BadQuestion(f"expected one value for {name!r}")
            asked[name] = _number(name, text) if name in ("limit", "wait_s") else text
            continue
        column, compared = field_of(name, view.type.form, view.name)
        try:
            value = column.read(text)
        except ValueError as error:
            raise BadQuestion(f"expected {error} for {name!r}, got {text!r}") from None
        if compared != "=" and name in filters:
            raise BadQuestion(f"expected one value for {name!r}")
        if compared == "=":
            filters.setdefault(name, []).append(value)
        else:
            filters[name] = value
    token = request.headers.get("Vagus-Token", asked.pop("token", None))
    wait_s = asked.pop("wait_s", WAIT_S)
    if not 0 <= wait_s <= WAIT_MAX_S:
        raise BadQuestion(f"expected 'wait_s' from 0 to {WAIT_MAX_S:g}, got {wait_s:g}")
    return asked, filters, token, wait_s


def _number(name: str, text: str) -> Any:
    try:
        return int(text[:32]) if name == "limit" else float(text)
    except ValueError:
        raise BadQuestion(f"expected a number for {name!r}, got {text!r}") from None


def field_schema(view: ServiceView, field: str) -> dict[str, Any]:
    """What a field is, in words of OpenAPI."""
    kinds: dict[str, dict[str, Any]] = {
        "int": {"type": "integer", "format": "int64"},
        "float": {"type": "number"},
        "bool": {"type": "boolean"},
        "datetime": {"type": "string", "format": "date-time"},
        "date": {"type": "string", "format": "date"},
        "uuid": {"type": "string", "format": "uuid"},
    }
    column = view.type.form.columns[field]
    found = dict(kinds.get(column.kind, {"type": "string"}))
    if column.values:
        found["enum"] = list(column.values)
    return found


TOKEN_PARAMETERS = [
    parameter(
        "token",
        {"type": "string"},
        "Answer as of then or later: the token of a command's answer. Or the header Vagus-Token.",
    ),
    parameter(
        "wait_s",
        {"type": "number", "minimum": 0, "maximum": WAIT_MAX_S, "default": WAIT_S},
        "How long to wait for that, in seconds.",
    ),
]


def filter_parameters(view: ServiceView) -> list[dict[str, Any]]:
    """All filters that a view knows."""
    found = []
    for name, column in view.type.form.columns.items():
        if not column.comparable:
            continue
        schema = field_schema(view, name)
        several = {"type": "array", "items": schema}
        found.append(parameter(name, several, f"Rows with any of these values of {name}."))
        if column.kind not in ("bool", "bytes") and not column.values:
            found.append(parameter(f"{name}_from", schema, "Rows with that or more."))
            found.append(parameter(f"{name}_to", schema, "Rows with less."))
    return found


def page_parameters(view: ServiceView) -> list[dict[str, Any]]:
    """What says which rows come, in which order, and as of when."""
    found = [
        parameter("sort", {"type": "string"}, "Fields, with commas; a `-` before one that falls."),
        parameter(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT},
            "How many rows at most.",
        ),
        parameter("after", {"type": "string"}, "Where to read on (see `next`)."),
        *TOKEN_PARAMETERS,
    ]
    if view.type.search:
        meaning = "Words that are all in the texts; `*` ends the beginning of one."
        found.append(parameter("search", {"type": "string"}, meaning))
    return found
