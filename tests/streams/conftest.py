"""A seed for tests that choose at random; it is shown when one fails, and can be given again."""

from __future__ import annotations

import os
import random

import pytest


@pytest.fixture
def seed() -> int:
    """A new seed each time, or the one in VAGUS_SEED."""
    chosen = int(os.environ.get("VAGUS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"repeat with VAGUS_SEED={chosen}")
    return chosen
