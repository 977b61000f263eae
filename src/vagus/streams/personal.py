"""Personal columns on their way through streams: they may be handed on, but not looked into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import DeclarationError
from vagus.events.personal import marks_of
from vagus.streams.aggregates import handed_on

if TYPE_CHECKING:
    from vagus.events import Field
    from vagus.events.personal import Mark
    from vagus.streams.aggregates import Aggregate


def check_expression(expr: Any, fields: Mapping[str, Field], where: str) -> None:
    """Raise DeclarationError for an expression that computes with an encrypted column."""
    marks = marks_of(fields)
    if not marks or not isinstance(expr, pl.Expr):
        return
    for name in expr.meta.root_names():
        if name in marks:
            raise DeclarationError(
                f"expected no computing with {name!r}: it holds personal data, which is encrypted "
                "in streams",
                where=where,
                hint="use it in map_events, where events are decrypted",
            )


def check_aggregates(
    aggregates: Mapping[str, Aggregate], fields: Mapping[str, Field], where: str
) -> None:
    """Raise DeclarationError for aggregates that would look into encrypted columns."""
    for aggregate in aggregates.values():
        if handed_on(aggregate) is None:
            check_expression(aggregate.input, fields, where)


def aggregated(aggregate: Aggregate, fields: Mapping[str, Field]) -> Field | None:
    """The encrypted field whose values an aggregate gives on, if it does."""
    known = fields.get(handed_on(aggregate) or "")
    return known if known is not None and marks_of({known.name: known}) else None


def same_mark(flow: Mapping[str, Field], topic: Mapping[str, Field], name: str, where: str) -> None:
    """Raise DeclarationError where a column isn't as personal as the topic that it goes to."""
    given = marks_of({name: flow[name]}).get(name)
    wanted = marks_of({name: topic[name]}).get(name)
    if given is None and wanted is None:
        return
    if given is None or wanted is None or _inside(given) != _inside(wanted):
        raise DeclarationError(
            f"expected {name!r} to be {_shown(wanted)}, got one that is {_shown(given)}",
            where=where,
            hint="make the event in map_events, which decrypts and encrypts",
        )


def _inside(mark: Mark) -> tuple[str, str]:
    return mark.field, mark.kind


def _shown(mark: Mark | None) -> str:
    return "not personal" if mark is None else f"encrypted as {mark.field!r} of type {mark.kind}"
