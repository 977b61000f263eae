"""Typed events: what is said, and how it is written as bytes and read back in columns.

This room knows nothing of hubs. Its heavy parts (Polars, Arrow, the Avro codecs) are imported
when they are first asked for, so that declaring events is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vagus.events.event import Aliases, Event
from vagus.events.personal import Personal

if TYPE_CHECKING:
    from vagus.events.avro import AvroCodec
    from vagus.events.column import BytesColumn
    from vagus.events.compatibility import LEVELS, Level, check_compatibility
    from vagus.events.decoded import BadValue, Decoded
    from vagus.events.jsonform import JsonCodec
    from vagus.events.keys import KeyCodec, KeyType
    from vagus.events.metadata import Metadata
    from vagus.events.partition import partitions_for
    from vagus.events.registry import MemoryRegistry, Registry
    from vagus.events.schema import Field, RecordSchema

__all__ = [
    "LEVELS",
    "Aliases",
    "AvroCodec",
    "BadValue",
    "BytesColumn",
    "Decoded",
    "Event",
    "Field",
    "JsonCodec",
    "KeyCodec",
    "KeyType",
    "Level",
    "MemoryRegistry",
    "Metadata",
    "Personal",
    "RecordSchema",
    "Registry",
    "check_compatibility",
    "partitions_for",
]

_HOMES = {
    "LEVELS": "compatibility",
    "AvroCodec": "avro",
    "BadValue": "decoded",
    "BytesColumn": "column",
    "Decoded": "decoded",
    "Field": "schema",
    "JsonCodec": "jsonform",
    "KeyCodec": "keys",
    "KeyType": "keys",
    "Level": "compatibility",
    "MemoryRegistry": "registry",
    "Metadata": "metadata",
    "RecordSchema": "schema",
    "Registry": "registry",
    "check_compatibility": "compatibility",
    "partitions_for": "partition",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
