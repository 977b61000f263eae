"""How far a view is, and waiting until it is as far as a token."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from vagus.services.token import ForeignToken, Token
from vagus.services.views.errors import ViewBehind
from vagus.services.views.keeper import answering
from vagus.services.views.table import Generation, positions

if TYPE_CHECKING:
    from vagus.errors import VagusError
    from vagus.hub import Hub, TopicPartition
    from vagus.services.views.declare import ViewType
    from vagus.services.views.file import ViewFile

__all__ = ["Reach"]

TOKEN_AGE_S = 24 * 3600.0


class Reach:
    """How far one view is in the topics that it reads."""

    def __init__(
        self, view: ViewType, file: ViewFile, hub: Hub, clock: Callable[[], float]
    ) -> None:
        self._view, self._file, self._hub, self._clock = view, file, hub, clock

    def reached(self, token: Token | str) -> bool:
        """Whether the view is as far as a token. Raises BadToken."""
        wanted = self._wanted(token)
        with self._file.reading() as db:
            return self._missing(db, wanted) is None

    def pulses(self, token: Token | str | None, wait_s: float) -> Iterator[tuple[int, float]]:
        """The pulses to be waited for, and how long at most, until the view reaches a token."""
        if token is None:
            return
        wanted = self._wanted(token)
        deadline = time.monotonic() + wait_s
        while True:
            seen = self._file.pulse.count
            if self._is_reached(wanted):
                return
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise self._behind(wanted, wait_s)
            yield seen, left_s

    def _wanted(self, token: Token | str) -> dict[TopicPartition, int]:
        """The positions of a token in the topics that the view reads."""
        parsed = Token.parse(token) if isinstance(token, str) else token
        parsed.check(self._view.app, now_ms=int(self._clock() * 1000), max_age_s=TOKEN_AGE_S)
        read = {source.topic.name for source in self._view.sources}
        return {tp: at for tp, at in parsed.positions.items() if tp.topic in read}

    def _is_reached(self, wanted: dict[TopicPartition, int]) -> bool:
        with self._file.reading() as db:
            answering(db, self._view.name, self._file.hub)
            return self._missing(db, wanted) is None

    def _missing(
        self, db: sqlite3.Connection, wanted: dict[TopicPartition, int]
    ) -> TopicPartition | None:
        live = Generation.live_of(db, self._view.name, self._file.hub)
        at = {} if live is None else positions(db, live.id)
        return next((tp for tp, offset in wanted.items() if at.get(tp, -1) < offset), None)

    def _behind(self, wanted: dict[TopicPartition, int], wait_s: float) -> VagusError:
        ends = self._hub.offsets([tp for tp in wanted if tp.topic in self._hub.topics()], "latest")
        for partition, offset in wanted.items():
            if offset > ends.get(partition, 0):
                return ForeignToken(
                    f"expected a token of events that there are, got one of offset {offset}",
                    where=f"{partition.topic}, partition {partition.partition}",
                    hint="it was made on another hub, or the topic was made anew: ask without it",
                )
        with self._file.reading() as db:
            known = Generation.all(db, self._view.name, self._file.hub)
            building = [g for g in known if not g.live]
        hint = "ask again in a moment, or allow more time"
        if building:
            hint = "it is being rebuilt by a new program: ask again later, or without the token"
        return ViewBehind(
            f"view {self._view.name!r} did not reach the token within {wait_s:g} s",
            where=self._view.app,
            hint=hint,
        )
