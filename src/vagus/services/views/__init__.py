"""Views of services: rows made of events, kept in SQLite, asked for in Python and over HTTP."""

from __future__ import annotations

from vagus.services.views.check import rows_after
from vagus.services.views.declare import Deleted, ViewDeclarations, ViewType
from vagus.services.views.errors import (
    BadQuestion,
    UnknownField,
    UnknownView,
    ViewBehind,
    ViewNotBuilt,
    ViewStopped,
)
from vagus.services.views.queries import Queries, file_of, following, queries_of
from vagus.services.views.row import Row
from vagus.services.views.rows import Rows
from vagus.services.views.view import Change, Changes, Page, ServiceView

__all__ = [
    "BadQuestion",
    "Change",
    "Changes",
    "Deleted",
    "Page",
    "Queries",
    "Row",
    "Rows",
    "ServiceView",
    "UnknownField",
    "UnknownView",
    "ViewBehind",
    "ViewDeclarations",
    "ViewNotBuilt",
    "ViewStopped",
    "ViewType",
    "file_of",
    "following",
    "queries_of",
    "rows_after",
]
