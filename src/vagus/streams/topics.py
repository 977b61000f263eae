"""What a declaration makes of a topic: its types, its key, its columns, how it is kept."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

from vagus.errors import DeclarationError, nearest
from vagus.events import Event, Field, RecordSchema
from vagus.hub import TopicConfig
from vagus.runtime.topic import Topic
from vagus.streams.duration import Duration, duration_ms
from vagus.streams.fields import key_kind

__all__ = ["classes_of", "config_of", "fields_of", "shape_of", "topic_of"]


def config_of(
    partitions: int = 1,
    retention: Duration | None = None,
    retention_bytes: int | None = None,
    *,
    compact: bool = False,
) -> TopicConfig:
    """How a topic is kept, in an application's terms."""
    return TopicConfig(
        partitions=partitions,
        cleanup="compact" if compact else "delete",
        retention_s=None if retention is None else duration_ms(retention) / 1000,
        retention_bytes=retention_bytes,
    )


def classes_of(event_type: Any) -> tuple[type[Event], ...]:
    """The classes of `A`, `A | B` or `Union[A, B]`."""
    union = isinstance(event_type, types.UnionType) or typing.get_origin(event_type) is typing.Union
    found = typing.get_args(event_type) if union else (event_type,)
    for one in found:
        if not (isinstance(one, type) and issubclass(one, Event)):
            raise DeclarationError(
                f"expected an event class, got {one!r}",
                hint="class Name(vg.Event): ..., or several joined by |",
            )
    return tuple(found)


def topic_of(
    name: str,
    event_type: Any,
    key: str | None,
    time: str | None,
    config: TopicConfig,
    form: Literal["avro", "json"],
) -> Topic:
    """The topic that is declared so. Raises DeclarationError for what can't be."""
    schemas = tuple(RecordSchema.of(one) for one in classes_of(event_type))
    kind = "str"
    for schema in schemas:
        for what, field in (("key", key), ("time", time)):
            if field is not None and field not in schema.fields:
                raise DeclarationError(
                    f"{schema.name} has no field {field!r} to be its {what}",
                    where=f"topic {name!r}",
                    hint=nearest(field, schema.fields) or f"it has {', '.join(schema.fields)}",
                )
        if key is not None:
            kind = key_kind(f"topic {name!r}", schema.fields[key].dtype)
            if schema.marks.get(key) is not None:
                raise DeclarationError(
                    f"expected a key that isn't personal, got {key!r}: keys are not encrypted",
                    where=f"topic {name!r}",
                    hint="use the person's id",
                )
        if time is not None and schema.fields[time].dtype.base_type().__name__ != "Datetime":
            raise DeclarationError(
                f"expected the time field {time!r} to be a datetime",
                where=f"topic {name!r}",
            )
    return Topic(name, schemas, key, kind, time, config, form)  # type: ignore[arg-type]


def fields_of(topic: Topic) -> dict[str, Field]:
    """The fields of all its types; those that not all of them have may be null."""
    fields: dict[str, Field] = {}
    several = len(topic.schemas) > 1
    for schema in topic.schemas:
        for name, field in schema.fields.items():
            shared = all(name in other.fields for other in topic.schemas)
            fields.setdefault(name, field if shared else field.derived(name, nullable=True))
    if several:
        import polars as pl

        fields = {"_type": Field.of("_type", pl.String()), **fields}
    return fields


def shape_of(topic: Topic) -> tuple[Any, ...]:
    """What has to be the same wherever the topic is declared."""
    schemas = tuple(schema.json for schema in topic.schemas)
    return (schemas, topic.key, topic.key_kind, topic.time, topic.form, topic.windowed)
