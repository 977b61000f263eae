"""Refusals: typed reasons why a command has no effect."""

from __future__ import annotations

from typing import Any

from vagus.errors import VagusError

__all__ = ["Conflict", "Expired", "KeyReused", "Refused"]


class Refused(VagusError):
    """A command is refused: nothing of it happens, and its sender is told why.

    `decide` raises it, or returns it. `code` is for programs, `message` for people; `data` are
    further facts, of types that JSON has (or pydantic knows how to write).

    >>> refused = Refused("out-of-stock", "only 2 are left", sku="tea", left=2)
    >>> refused.code, refused.data, str(refused)
    ('out-of-stock', {'sku': 'tea', 'left': 2}, 'out-of-stock: only 2 are left')
    """

    def __init__(self, code: str, message: str = "", /, **data: Any) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.reason = message
        self.data = data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code!r}, {self.reason!r}, {self.data!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.code, self.reason, self.data)

    @staticmethod
    def of(code: str, message: str, data: dict[str, Any]) -> Refused:
        """The refusal that was written as these parts, in its own class."""
        own = _OWN.get(code)
        if own is None:
            return Refused(code, message, **data)
        refused = own.__new__(own)
        Refused.__init__(refused, code, message, **data)
        return refused


class Conflict(Refused):
    """The aggregate has another version than the command's sender expected.

    >>> Conflict(expected=1, actual=3).data
    {'expected': 1, 'actual': 3}
    """

    code = "conflict"

    def __init__(self, *, expected: int, actual: int) -> None:
        message = f"expected version {expected}, but it is at version {actual}"
        super().__init__("conflict", message, expected=expected, actual=actual)

    @property
    def expected(self) -> int:
        """The version that the sender had seen."""
        return int(self.data["expected"])

    @property
    def actual(self) -> int:
        """The version that it has."""
        return int(self.data["actual"])


class KeyReused(Refused):
    """The idempotency key was given before, with another command.

    >>> KeyReused("k-1").code
    'idempotency-key-reused'
    """

    code = "idempotency-key-reused"

    def __init__(self, key: str) -> None:
        message = f"the idempotency key {key!r} was given before, with another command"
        super().__init__("idempotency-key-reused", message, key=key)


class Expired(Refused):
    """The command was decided too late: its time was up.

    >>> Expired(late_ms=20).code
    'expired'
    """

    code = "expired"

    def __init__(self, *, late_ms: int) -> None:
        super().__init__(
            "expired", f"its time was up {late_ms} ms before it was decided", late_ms=late_ms
        )


_OWN: dict[str, type[Refused]] = {
    "conflict": Conflict,
    "expired": Expired,
    "idempotency-key-reused": KeyReused,
}


def _made(code: str, message: str, data: dict[str, Any]) -> Refused:
    return Refused.of(code, message, data)
