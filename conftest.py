"""What holds for every test: no clock decides, and nothing is left lying about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pathlib import Path

# A slow machine is not a failure; `print_blob` gives the line that repeats one.
settings.register_profile(
    "vagus", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("vagus")

pytest_plugins = ["tests.kafka.fixtures"]


@pytest.fixture(autouse=True)
def _own_surroundings(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test uses the caller's hub or registry; an example in a docstring has its own folder."""
    for name in ("VAGUS_HUB", "VAGUS_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    if isinstance(request.node, pytest.DoctestItem):
        monkeypatch.chdir(tmp_path)
