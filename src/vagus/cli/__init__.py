"""The command line: what people and scripts touch.

Nothing heavy is imported before a command runs, so that `vagus --help` is quick.
"""

from __future__ import annotations

from vagus.cli.command import main

__all__ = ["main"]
