"""Tokens: what the answer to a command says, so that a later query can see what it did."""

from __future__ import annotations

import json
import time
from base64 import b64decode, urlsafe_b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from vagus.errors import VagusError
from vagus.hub import TopicPartition

__all__ = ["BadToken", "ExpiredToken", "ForeignToken", "MalformedToken", "Token"]

_VERSION = 1
_TEXT_MAX = 16_384
_HINT = "send the token back as it came with the answer to a command"


class BadToken(VagusError):
    """A query came with a token that can't be waited for."""


class MalformedToken(BadToken):
    """The text is no token."""


class ForeignToken(BadToken):
    """The token speaks of another service, or of events that its topics never had."""


class ExpiredToken(BadToken):
    """The token is older than tokens may be."""


@dataclass(frozen=True)
class Token:
    """Where the events of a command came to lie: positions that a view has to reach.

    `positions` are the offsets behind the events, for each partition that got some; a view has
    reached the token when each of its own positions is at least as large. `issued_ms` is when it
    was made, in milliseconds since 1970.

    >>> from vagus.hub import TopicPartition
    >>> token = Token("orders", {TopicPartition("orders-events", 0): 17}, issued_ms=0)
    >>> Token.parse(token.text()) == token
    True
    """

    service: str
    positions: Mapping[TopicPartition, int]
    issued_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)

    def text(self) -> str:
        """The token as text that can stand in an address or a header. Its form may change."""
        topics: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in sorted(self.positions.items()):
            topics.setdefault(topic, {})[str(partition)] = int(offset)
        whole = {"v": _VERSION, "s": self.service, "t": self.issued_ms, "p": topics}
        plain = json.dumps(whole, separators=(",", ":")).encode()
        return urlsafe_b64encode(plain).decode().rstrip("=")

    __str__ = text

    @classmethod
    def parse(cls, text: str) -> Self:
        """The token that a text is. Raises MalformedToken."""
        try:
            if len(text) > _TEXT_MAX:
                raise ValueError
            padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
            found = json.loads(b64decode(padded.encode("ascii"), altchars=b"-_", validate=True))
            if not isinstance(found, dict) or "v" not in found:
                raise ValueError
            if found["v"] != _VERSION:
                raise MalformedToken(
                    f"expected a token of version {_VERSION}, got one of {found['v']!r}",
                    where="token",
                    hint="it was made by another version of Vagus: ask without it",
                )
            positions = {
                TopicPartition(topic, int(partition)): _whole(offset)
                for topic, partitions in found["p"].items()
                for partition, offset in partitions.items()
            }
            service = found["s"]
            if not isinstance(service, str):
                raise ValueError
            return cls(service, positions, _whole(found["t"]))
        except (ValueError, KeyError, AttributeError, TypeError, BadBase64, RecursionError):
            shown = text if len(text) <= 40 else text[:40] + "…"
            raise MalformedToken(
                f"expected a token, got {shown!r}", where="token", hint=_HINT
            ) from None

    def check(self, service: str, *, now_ms: int, max_age_s: float) -> None:
        """Raise ForeignToken if it is of another service, ExpiredToken if it is too old."""
        if self.service != service:
            raise ForeignToken(
                f"expected a token of service {service!r}, got one of {self.service!r}",
                where="token",
                hint="a token is good for queries of the service that answered the command",
            )
        age_s = (now_ms - self.issued_ms) / 1000
        if age_s > max_age_s:
            raise ExpiredToken(
                f"expected a token of the last {max_age_s:g} s, got one that is {age_s:.0f} s old",
                where="token",
                hint="ask without it",
            )

    def joined(self, other: Token) -> Token:
        """A token that is reached when both are. Raises ForeignToken for another service's."""
        if other.service != self.service:
            raise ForeignToken(
                f"expected a token of service {self.service!r}, got one of {other.service!r}",
                where="token",
            )
        positions = dict(self.positions)
        for partition, offset in other.positions.items():
            positions[partition] = max(offset, positions.get(partition, 0))
        return Token(self.service, positions, max(self.issued_ms, other.issued_ms))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(value)
    return value
