"""Encrypting and decrypting what holds personal data: frames, and models as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import EncodeError
from vagus.events.cipher import PersonKey, open_column, open_text, seal_column, seal_text

if TYPE_CHECKING:
    from vagus.events.personal import Mark

__all__ = ["Encrypting"]


class Encrypting(ABC):
    """Encrypts and decrypts with the keys that it is given."""

    @abstractmethod
    def keys_of(self, persons: Collection[str]) -> Mapping[str, PersonKey]:
        """The keys of these persons; who has none gets one."""

    @abstractmethod
    def with_ids(self, ids: Collection[bytes]) -> Mapping[bytes, PersonKey]:
        """The keys of these ids that are still there."""

    # Frames

    def seal(self, frame: pl.DataFrame, marks: Mapping[str, Mark]) -> pl.DataFrame:
        """The frame with its personal columns encrypted; those that hold bytes are so already.

        Raises EncodeError, with the rows, where no person is named, or for a value of another
        type.
        """
        columns = []
        for name, mark in marks.items():
            if name not in frame.columns or frame.schema[name] == pl.Binary:
                continue
            if mark.person not in frame.columns:
                raise EncodeError(
                    f"expected the column {mark.person!r}, which says whose {name!r} it is",
                    hint=f"there are {', '.join(frame.columns)}",
                    rows=range(frame.height),
                )
            columns.append(seal_column(frame[name], frame[mark.person], mark, self.keys_of))
        return frame.with_columns(columns) if columns else frame

    def open(self, frame: pl.DataFrame, marks: Mapping[str, Mark]) -> pl.DataFrame:
        """The frame with its personal columns decrypted: null where the person is forgotten.

        Raises DecodeError for bytes that were not encrypted, or not for this field.
        """
        columns = [
            open_column(frame[name], mark, self.with_ids)
            for name, mark in marks.items()
            if name in frame.columns and frame.schema[name] == pl.Binary
        ]
        return frame.with_columns(columns) if columns else frame

    # Models as JSON

    def seal_object(self, value: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
        """A JSON object with its personal fields encrypted; `fields` name those of the persons.

        Raises EncodeError where no person is named.
        """
        sealed = dict(value)
        for name, person in fields.items():
            if sealed.get(name) is None:
                continue
            if sealed.get(person) in (None, ""):
                raise EncodeError(
                    f"expected the id of the person in {person!r}, got none",
                    where=name,
                    hint="personal data needs somebody whose it is",
                )
            who = str(sealed[person])
            sealed[name] = seal_text(json.dumps(sealed[name]), name, self.keys_of([who])[who])
        return sealed

    def open_object(self, value: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
        """A JSON object with its personal fields decrypted: None where the person is forgotten.

        Raises DecodeError like `open`.
        """
        opened = dict(value)
        for name in fields:
            if opened.get(name) is not None:
                text = open_text(opened[name], name, self.with_ids)
                opened[name] = None if text is None else json.loads(text)
        return opened
