"""A hub that is slow to give what it has: a view that catches up waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.services.views.running import hub_in
from tests.services.views.shop import Shop
from tests.services.views.test_another_hub import fill, keys
from vagus.hub.local.reader import LocalReader
from vagus.services import Queries

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_view_is_not_shown_before_it_holds_all_that_the_hub_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, left = LocalReader.read, [20]

    def late(self: LocalReader, **bounds: Any) -> Any:
        if left[0]:  # as a consumer of Kafka that has heard of the end before the first event
            left[0] -= 1
            self._ends.update(self._hub.offsets(self._positions, "latest"))
            return []
        return read(self, **bounds)

    with hub_in(tmp_path) as hub:
        fill(hub, range(5))
        monkeypatch.setattr(LocalReader, "read", late)
        with Queries(Shop().service, hub) as queries:
            queries.refresh()
            assert keys(queries) == [f"o00{n}" for n in range(5)]
    assert left == [0]
