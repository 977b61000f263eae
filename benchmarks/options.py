"""What both commands of the benchmarks can be told."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any


class Options:
    """The command line: which of `names` to run, how many events, how often, in which form."""

    def __init__(self, program: str, about: str | None, names: Iterable[str]) -> None:
        self._names = list(names)
        self.parser = argparse.ArgumentParser(prog=f"python -m {program}", description=about)
        known = ", ".join(self._names)
        self.parser.add_argument("only", nargs="*", metavar="NAME", help=f"of {known}")
        self.parser.add_argument(
            "--events", type=int, default=2_000_000, help="default %(default)s"
        )
        self.parser.add_argument(
            "--runs", type=int, default=3, help="of each (default %(default)s)"
        )
        self.parser.add_argument(
            "--json", action="store_true", help="lines of JSON on a terminal, too"
        )

    def read(self) -> Any:
        """What was asked for."""
        asked = self.parser.parse_args()
        unknown = ", ".join(sorted(set(asked.only) - set(self._names)))
        if unknown:
            self.parser.error(f"expected names among {', '.join(self._names)}, got {unknown}")
        if asked.events < 1 or asked.runs < 1:
            self.parser.error("expected at least one event and one run")
        return asked
