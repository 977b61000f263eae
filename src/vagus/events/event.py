"""The base class of typed events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict
from pydantic_core import core_schema

from vagus.errors import DeclarationError
from vagus.events.declare import avro_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from pydantic import GetCoreSchemaHandler

__all__ = ["Aliases", "Event"]

_ZONE_HINT = (
    "expected a datetime with a time zone, such as 2026-01-31T12:00:00Z or datetime.now(UTC)"
)


@dataclass(frozen=True)
class Aliases:
    """Earlier names of a field: events written under them are still read into it.

    >>> from typing import Annotated
    >>> class Reading(Event):
    ...     speed_kmh: Annotated[float, Aliases("speed")]
    """

    names: tuple[str, ...]

    def __init__(self, *names: str) -> None:
        object.__setattr__(self, "names", names)


def _with_zones(schema: Any) -> Any:
    """The core schema with every plain datetime in it demanding a time zone."""
    if isinstance(schema, list):
        return [_with_zones(part) for part in schema]
    if isinstance(schema, tuple):
        return tuple(_with_zones(part) for part in schema)
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "datetime":
        aware: Any = {**schema, "tz_constraint": "aware"}
        return core_schema.custom_error_schema(
            aware, "datetime_without_zone", custom_error_message=_ZONE_HINT
        )
    return {key: _with_zones(part) if key != "metadata" else part for key, part in schema.items()}


class Event(BaseModel):
    """An immutable, typed fact. Subclass it and declare fields.

    Fields are checked when the class is defined: a type that can't be written raises
    DeclarationError with the field's name and what to use instead. Datetimes need a time zone.
    `record_namespace` goes before the record's name in its schema; `aliases` are earlier names of
    the class.

    >>> class BusPosition(Event, record_namespace="fleet", aliases=("Position",)):
    ...     bus_id: str
    ...     speed_kmh: float = 0.0
    >>> BusPosition(bus_id="17")
    BusPosition(bus_id='17', speed_kmh=0.0)
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True
    )

    __record_namespace__: ClassVar[str | None] = None
    __record_aliases__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls,
        *,
        record_namespace: str | None = None,
        aliases: Sequence[str] = (),
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        if record_namespace is not None:
            cls.__record_namespace__ = record_namespace
        cls.__record_aliases__ = tuple(aliases)

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        for name in cls.__private_attributes__:
            raise DeclarationError(
                f"expected field names without a leading underscore, got {name!r}",
                where=f"{cls.__name__}.{name}",
                hint=f"call it {name.lstrip('_')!r}",
            )
        if cls.__pydantic_complete__:  # else a forward reference is open: checked when first used
            avro_record(cls)

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[BaseModel], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        schema: core_schema.CoreSchema = _with_zones(handler(source))
        return schema

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> list[Self]:
        """The rows of a frame as events. Columns that aren't fields are ignored.

        Raises DecodeError if a row doesn't make a valid event.

        >>> class Ping(Event):
        ...     host: str
        >>> Ping.from_frame(Ping.to_frame([Ping(host="a")]))
        [Ping(host='a')]
        """
        from vagus.events.rows import events_of

        return events_of(cls, frame)

    @classmethod
    def to_frame(cls, events: Sequence[Self]) -> pl.DataFrame:
        """The events as the rows of a frame, a column for each field.

        >>> class Ping(Event):
        ...     host: str
        >>> Ping.to_frame([Ping(host="a"), Ping(host="b")])["host"].to_list()
        ['a', 'b']
        """
        from vagus.events.rows import frame_of

        return frame_of(cls, events)
