"""Encrypting and decrypting what holds personal data: frames, and models as JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from vagus.errors import EncodeError
from vagus.events.cipher import PersonKey, open_column, open_text, seal_column, seal_text

if TYPE_CHECKING:
    from vagus.events.personal import Mark

__all__ = ["Encrypting", "MemoryKeys"]


class Encrypting(ABC):
    """Encrypts and decrypts with the keys that it is given.

    Whoever keeps decrypted values drops them when a new `session` has another `since`.
    """

    since = 0  # how many persons were forgotten when this began

    def session(self) -> Encrypting:
        """The keys for one piece of work that decrypts, and encrypts what it made of that."""
        return self

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
            if sealed.get(name) is not None:
                (sealed[name],) = self.seal_texts(
                    name, [json.dumps(sealed[name])], [sealed.get(person)]
                )
        return sealed

    def open_object(self, value: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
        """A JSON object with its personal fields decrypted: None where the person is forgotten.

        Raises DecodeError like `open`.
        """
        opened = dict(value)
        for name in fields:
            text = self.open_text(name, opened.get(name))
            opened[name] = None if text is None else json.loads(text)
        return opened

    # Texts, one by one

    def seal_texts(
        self, field: str, texts: Sequence[str | None], persons: Sequence[Any]
    ) -> list[str | None]:
        """Texts of these persons, encrypted; None stays None.

        Raises EncodeError where no person is named.
        """
        given = {str(who) for who, text in zip(persons, texts, strict=True) if text is not None}
        if given & {"None", ""}:
            raise EncodeError(
                "expected the id of a person, got none",
                where=field,
                hint="personal data needs somebody whose it is",
            )
        keys = self.keys_of(given) if given else {}
        return [
            None if text is None else seal_text(text, field, keys[str(who)])
            for who, text in zip(persons, texts, strict=True)
        ]

    def open_text(self, field: str, text: str | None) -> str | None:
        """A text, decrypted: None where the person is forgotten. Raises DecodeError like `open`."""
        return None if text is None else open_text(text, field, self.with_ids)


class MemoryKeys(Encrypting):
    """Keys that nobody keeps: for tests without a hub."""

    def __init__(self) -> None:
        self._keys: dict[str, PersonKey] = {}

    def keys_of(self, persons: Collection[str]) -> Mapping[str, PersonKey]:
        """The keys of these persons."""
        return {who: self._keys.setdefault(who, PersonKey.new(who)) for who in persons}

    def with_ids(self, ids: Collection[bytes]) -> Mapping[bytes, PersonKey]:
        """The keys of these ids."""
        return {key.id: key for key in self._keys.values() if key.id in ids}
