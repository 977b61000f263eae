"""Snapshots: the state of an aggregate as text, and back."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from vagus.errors import DeclarationError, DecodeError
from vagus.events.personalmodel import personal_fields

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.events.encrypting import Encrypting

__all__ = ["SnapshotForm"]


class SnapshotForm:
    """Writes states of one class as JSON, and reads them.

    The class is a pydantic model or a dataclass. Raises DeclarationError if it is neither.
    """

    def __init__(self, initial: Callable[[], Any], where: str) -> None:
        kind = initial if inspect.isclass(initial) else type(initial())
        if not (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
            raise DeclarationError(
                f"expected a state that is a pydantic model or a dataclass, got {kind.__name__}",
                where=where,
                hint="class State(pydantic.BaseModel): ..., with a default for each field",
            )
        try:
            initial()
        except (ValidationError, TypeError) as error:
            raise DeclarationError(
                f"expected to make a first state without arguments: {error}",
                where=where,
                hint="give each field a default, or pass a function as `initial`",
            ) from None
        self.kind = kind
        self.personal = personal_fields(kind)
        self._adapter: TypeAdapter[Any] = TypeAdapter(kind)
        self._to_json = self._adapter.serializer.to_json
        self._all: TypeAdapter[Any] = TypeAdapter(list[kind])  # type: ignore[valid-type]

    def dump(self, state: Any, keys: Encrypting) -> str:
        """The state as text; see `dump_all`."""
        return self.dump_all([state], keys)[0]

    def dump_all(self, states: list[Any], keys: Encrypting) -> list[str]:
        """The states as texts, personal fields encrypted.

        Raises what pydantic raises for a value of another type.
        """
        for state in states:
            if not isinstance(state, self.kind):
                raise TypeError(f"expected evolve to return {self.kind.__name__}, got {state!r}")
        # To be asked to raise costs more than to write: all of them are tried at once.
        self._all.serializer.to_json(states, warnings="error")
        texts = [self._to_json(state, warnings=False).decode() for state in states]
        if not self.personal:
            return texts
        return [json.dumps(keys.seal_object(json.loads(text), self.personal)) for text in texts]

    def load(self, text: str, keys: Encrypting) -> Any:
        """The state that was written as this text. Raises DecodeError."""
        if self.personal:
            text = json.dumps(keys.open_object(json.loads(text), self.personal))
        try:
            return self._adapter.validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise DecodeError(
                f"expected a stored state that {self.kind.__name__} can read: {first['msg']}",
                where=".".join(map(str, first["loc"])) or self.kind.__name__,
                hint="give new fields a default, and don't change the types of old ones",
            ) from None
