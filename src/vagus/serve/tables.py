"""Tables over HTTP: rows by key, or in order, page by page."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import FastAPI, Request, Response  # noqa: TC002 - FastAPI looks at annotations

from vagus.errors import nearest
from vagus.serve.problem import Problem
from vagus.serve.question import LIMIT, Parameter, key_of, page_of, read_query
from vagus.serve.route import add_route, content_of, in_thread, json_of
from vagus.serve.row import RowForm
from vagus.streams import View, ViewNotReady

__all__ = ["add_tables"]


def add_tables(api: FastAPI, views: Sequence[View]) -> None:
    """Add `GET /views/...` for all tables of some applications. `api` is to handle `Problem`s."""
    _add_list(api, views)
    for view in views:
        _add_view(api, view)
    _add_unknown(api, [view.name for view in views])


def _add_list(api: FastAPI, views: Sequence[View]) -> None:
    described = {view.name: _columns(view) for view in views}

    def all_views(_request: Request) -> Response:
        return json_of({"views": [{**described[view.name], **_extent(view)} for view in views]})

    api.add_api_route(
        "/views",
        in_thread(all_views),
        summary="All tables",
        tags=["views"],
        operation_id="views",
        responses={200: content_of("The tables, their columns and their size", _LIST_SCHEMA)},
    )


def _columns(view: View) -> dict[str, Any]:
    return {
        "name": view.name,
        "key": view.key,
        "key_type": view.topic.key_kind,
        "windowed": view.windowed,
        "columns": {name: str(dtype) for name, dtype in view.columns.items()},
    }


def _extent(view: View) -> dict[str, Any]:
    try:
        return {"ready": view.ready, "rows": len(view), "newest": view.newest()}
    except ViewNotReady:
        return {"ready": False, "rows": None, "newest": None}


def _add_view(api: FastAPI, view: View) -> None:
    form = RowForm(view)
    row = form.schema()
    page = {
        "type": "object",
        "required": ["rows", "next"],
        "properties": {
            "rows": {"type": "array", "items": row},
            "next": {
                "description": "Where to read on; null where no more rows follow.",
                "anyOf": [{"type": "string"}, {"type": "null"}],
            },
        },
    }
    place = "key and window" if view.windowed else "key"
    of_page = page_of(view, one_key=False)
    path = f"/views/{view.name}"

    def scan(request: Request) -> Response:
        return _page(view, form, request, of_page, path)

    add_route(api, path, in_thread(scan), f"Rows of {view.name}, ordered by {place}", page, of_page)
    key = key_of(view)
    of_key = page_of(view, one_key=True) if view.windowed else []

    def windows(request: Request) -> Response:
        text = request.path_params["key"]
        value = key.value(text, ["key"])
        return _page(view, form, request, of_key, f"{path}/{quote(text, safe='')}", key=value)

    async def one(request: Request) -> Response:
        # A look into a dictionary: handing it to a thread would take longer than doing it.
        value = key.value(request.path_params["key"], ["key"])
        read_query(request.query_params, ())
        rows = view.rows_of(value)
        if not rows:
            raise _no_row(view, value)
        return json_of(form.plain(rows)[0])

    add_route(
        api,
        f"{path}/{{key:path}}",
        in_thread(windows) if view.windowed else one,
        f"The windows of a key of {view.name}" if view.windowed else f"A row of {view.name}",
        page if view.windowed else row,
        [key, *of_key],
    )


def _page(
    view: View,
    form: RowForm,
    request: Request,
    parameters: Sequence[Parameter],
    path: str,
    *,
    key: Any = None,
) -> Response:
    asked = read_query(request.query_params, parameters)
    limit = asked.pop("limit", LIMIT)
    window = [asked.pop("after_window")] if "after_window" in asked else []
    if key is not None:
        asked["key"] = key
        asked["after"] = (key, *window) if window else None
    elif "after" in asked:
        asked["after"] = (asked["after"], *window)
    frame, place = view.page(limit, **asked)
    if key is not None and not frame.height and not view.rows_of(key):
        raise _no_row(view, key)
    following = None
    if place is not None:
        query = dict(request.query_params)
        if key is None:
            query["after"] = _text(place[0])
        if view.windowed:
            query["after_window"] = _text(place[1])
        following = f"{path}?{urlencode(query)}"
    return json_of({"rows": form.plain(frame.iter_rows()), "next": following})


def _text(value: Any) -> str:
    """A key or a time as `read_query` reads it."""
    if isinstance(value, bytes):
        return urlsafe_b64encode(value).decode()
    return str(value) if isinstance(value, str | int) else value.isoformat().replace("+00:00", "Z")


def _no_row(view: View, key: Any) -> Problem:
    return Problem(
        404,
        "unknown-key",
        f"no row with the key {_text(key)!r} in view {view.name!r}",
        hint=f"GET /views/{view.name} has the rows that there are",
    )


def _add_unknown(api: FastAPI, names: list[str]) -> None:
    async def unknown(request: Request) -> Response:
        name = request.path_params["name"]
        raise Problem(
            404,
            "unknown-view",
            f"no view {name!r}",
            hint=nearest(name, names) or "GET /views lists those that there are",
        )

    for path in ("/views/{name}", "/views/{name}/{key:path}"):
        api.add_api_route(path, unknown, include_in_schema=False)


_LIST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "views": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "key": {"type": "string", "description": "The column that is the key."},
                    "key_type": {"enum": ["str", "int", "uuid", "bytes"]},
                    "windowed": {"type": "boolean"},
                    "columns": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ready": {"type": "boolean"},
                    "rows": {"type": ["integer", "null"]},
                    "newest": {
                        "type": ["string", "null"],
                        "format": "date-time",
                        "description": "The largest event time that the table has seen.",
                    },
                },
            },
        }
    },
}
