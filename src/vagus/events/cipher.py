"""Encrypting columns of personal data, each value with the key of its person.

An encrypted value is a mark of four bytes, the key's id (16), a random nonce (12), and what
AES-256-GCM makes of the value: its bytes, and a tag (16). The tag also covers the person and the
field, so that a value moved to another field is refused. Inside, a value is Avro, behind the
checksum of its type's name.

This is where values are gone through one by one: a cipher has no columns.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self
from zlib import crc32

import numpy as np
import polars as pl

from vagus.errors import DecodeError, EncodeError, VagusError
from vagus.events.column import BytesColumn
from vagus.events.nodes import BadRows
from vagus.events.reading import Reader
from vagus.events.schema import RecordSchema
from vagus.events.writing import Writer

if TYPE_CHECKING:
    from vagus.events.personal import Mark

__all__ = [
    "PersonKey",
    "open_column",
    "open_text",
    "plain_type",
    "seal_column",
    "seal_text",
    "unsealed",
]

_MAGIC = b"\xf5VP\x01"  # no text in UTF-8 begins so; the last byte is the version
_ID, _NONCE, _TAG = 16, 12, 16
_KEY_AT = len(_MAGIC)
_NONCE_AT = _KEY_AT + _ID
_TEXT_AT = _NONCE_AT + _NONCE
_SECRET = 32


@dataclass(frozen=True, slots=True)
class PersonKey:
    """The key of one person; a person who was forgotten and comes back gets another one."""

    person: str
    id: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls, person: str) -> Self:
        """A random key."""
        return cls(person, os.urandom(_ID), os.urandom(_SECRET))


def plain_type(mark: Mark) -> pl.DataType:
    """The type of the values of an encrypted column."""
    return _form(mark.kind).dtype


def unsealed(column: pl.Series) -> pl.Series:
    """Which values are not encrypted, nulls aside."""
    sealed = column.bin.starts_with(_MAGIC) & (column.bin.size() >= _TEXT_AT + _TAG)
    return ~sealed.fill_null(value=True)


def seal_column(
    column: pl.Series,
    persons: pl.Series,
    mark: Mark,
    keys: Callable[[list[str]], Mapping[str, PersonKey]],
) -> pl.Series:
    """A column of plain values, encrypted; nulls stay null. `keys` finds or makes keys.

    Raises EncodeError, with the rows, for values of another type and where no person is named.
    """
    form = _form(mark.kind)
    given = column.is_not_null()
    people = persons.cast(pl.String)
    nobody = (given & (people.is_null() | (people == ""))).arg_true().to_list()
    if nobody:
        raise EncodeError(
            f"expected the id of the person in {mark.person!r}, got none, row {nobody[0]}",
            where=column.name,
            hint="personal data needs somebody whose it is",
            rows=nobody,
        )
    rows = given.arg_true()
    if not len(rows):
        return pl.Series(column.name, [None] * len(column), pl.Binary)
    values = form.write(column.gather(rows), rows)
    people = people.gather(rows)
    found = keys(people.unique(maintain_order=True).to_list())
    ciphers = {
        person: (_cipher(key), _MAGIC + key.id, _bound(key, mark)) for person, key in found.items()
    }
    nonces = os.urandom(_NONCE * len(values))
    sealed = []
    for at, (person, value) in enumerate(zip(people.to_list(), values, strict=True)):
        cipher, head, bound = ciphers[person]
        nonce = nonces[at * _NONCE : (at + 1) * _NONCE]
        sealed.append(head + nonce + cipher.encrypt(nonce, value, bound))
    if len(rows) == len(column):
        return pl.Series(column.name, sealed, pl.Binary)
    whole: list[bytes | None] = [None] * len(column)
    for row, one in zip(rows.to_list(), sealed, strict=True):
        whole[row] = one
    return pl.Series(column.name, whole, pl.Binary)


def open_column(
    column: pl.Series,
    mark: Mark,
    keys: Callable[[Collection[bytes]], Mapping[bytes, PersonKey]],
) -> pl.Series:
    """An encrypted column, decrypted; null where a key is gone. `keys` finds keys by their ids.

    Raises DecodeError for what is not encrypted, was changed, or was encrypted for another field
    or type.
    """
    form = _form(mark.kind)
    rows = column.is_not_null().arg_true()
    if not len(rows):
        return pl.Series(column.name, [None] * len(column), form.dtype)
    odd = unsealed(column)
    if odd.any():
        raise DecodeError(
            f"expected encrypted values, got others, first in row {odd.arg_true()[0]}",
            where=column.name,
            hint="was it written before the field was marked vg.Personal?",
        )
    values = column.gather(rows).to_list()
    ids = [value[_KEY_AT:_NONCE_AT] for value in values]
    found = keys(set(ids))
    ciphers = {each: (_cipher(key), _bound(key, mark)) for each, key in found.items()}
    places: list[int] = []
    plain: list[bytes | None] = []
    failed = _failure()
    for row, each, value in zip(rows.to_list(), ids, values, strict=True):
        known = ciphers.get(each)
        if known is None:
            continue  # forgotten
        cipher, bound = known
        try:
            plain.append(cipher.decrypt(value[_NONCE_AT:_TEXT_AT], value[_TEXT_AT:], bound))
        except failed:
            raise DecodeError(
                f"expected a value that was encrypted as {mark.field!r}, got another one, or one "
                f"that was changed, in row {row}",
                where=column.name,
            ) from None
        places.append(row)
    opened = form.read(plain, column.name)
    if len(places) == len(column):
        return opened
    at = np.full(len(column), -1, dtype=np.int64)
    at[places] = np.arange(len(places))
    return opened.gather(pl.Series(at).replace(-1, None))


def seal_text(text: str, field: str, key: PersonKey) -> str:
    """A text, encrypted for a field; as text again, in base64."""
    nonce = os.urandom(_NONCE)
    bound = _bound_text(key, field)
    sealed = _MAGIC + key.id + nonce + _cipher(key).encrypt(nonce, text.encode(), bound)
    return b64encode(sealed).decode()


def open_text(
    sealed: str, field: str, keys: Callable[[Collection[bytes]], Mapping[bytes, PersonKey]]
) -> str | None:
    """The text that was encrypted, or None if its key is gone. Raises DecodeError."""
    try:
        value = b64decode(sealed, validate=True)
    except ValueError:
        value = b""
    if value[:_KEY_AT] != _MAGIC or len(value) < _TEXT_AT + _TAG:
        raise DecodeError(
            "expected an encrypted value, got another one",
            where=field,
            hint="was it written before the field was marked vg.Personal?",
        )
    key = keys([value[_KEY_AT:_NONCE_AT]]).get(value[_KEY_AT:_NONCE_AT])
    if key is None:
        return None
    bound = _bound_text(key, field)
    try:
        opened: bytes = _cipher(key).decrypt(
            value[_KEY_AT + _ID : _TEXT_AT], value[_TEXT_AT:], bound
        )
    except _failure():
        raise DecodeError(
            f"expected a value that was encrypted as {field!r}, got another one, or one that was "
            "changed",
            where=field,
        ) from None
    return opened.decode()


class _Form:
    """Plain values of one Avro type as bytes, and back."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        fields = [{"name": "value", "type": json.loads(kind)}]
        schema = RecordSchema({"type": "record", "name": "Personal", "fields": fields})
        self.dtype = schema.columns["value"]
        # The checksum stands where others have the id of a schema.
        self._writer = Writer(schema, crc32(kind.encode()), "personal")
        self._reader = Reader(crc32(kind.encode()), schema, schema)

    def write(self, column: pl.Series, rows: pl.Series) -> list[bytes]:
        cast = column.cast(self.dtype, strict=False)
        wrong = rows.filter(cast.is_null()).to_list()
        if wrong:
            raise EncodeError(
                f"expected {self.dtype}, got {column.dtype}, row {wrong[0]}",
                where=column.name,
                rows=wrong,
            )
        values = self._writer.write([cast], len(cast))
        return [value for value in values.to_list() if value is not None]

    def read(self, values: list[bytes | None], name: str) -> pl.Series:
        if not values:
            return pl.Series(name, [], self.dtype)
        bad = BadRows()
        frame = self._reader.read(BytesColumn(values), bad)
        if frame is None:
            raise DecodeError(
                f"expected {self._kind} inside encrypted values, got another type",
                where=name,
                hint="the type of a personal field can't be changed: add a field",
            )
        for reason in bad.reasons.values():
            raise DecodeError(reason, where=name)
        return frame["value"].alias(name)


@lru_cache(maxsize=256)
def _form(kind: str) -> _Form:
    return _Form(kind)


def _bound(key: PersonKey, mark: Mark) -> bytes:
    """What a value is bound to: its field, and its person."""
    return f"{mark.field}\0{key.person}".encode()


def _bound_text(key: PersonKey, field: str) -> bytes:
    return f"{field}\0{key.person}\0json".encode()


def _cipher(key: PersonKey) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise VagusError(
            "personal data needs the package cryptography", hint="pip install 'vagus[personal]'"
        ) from None
    return AESGCM(key.secret)


def _failure() -> type[Exception]:
    try:
        from cryptography.exceptions import InvalidTag
    except ImportError:
        return VagusError
    return InvalidTag
