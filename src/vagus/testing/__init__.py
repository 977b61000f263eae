"""The test kit: run an application step by step, without a file, a thread or a wait."""

from __future__ import annotations

from vagus.testing.given import given
from vagus.testing.harness import Crash, Harness

__all__ = ["Crash", "Harness", "given"]
