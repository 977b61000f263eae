"""The test kit: run an application step by step, without a file, a thread or a wait."""

from vagus.testing.harness import Crash, Harness

__all__ = ["Crash", "Harness"]
