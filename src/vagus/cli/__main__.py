"""`python -m vagus.cli`, where the script `vagus` is not at hand."""

from __future__ import annotations

import sys

from vagus.cli import main

if __name__ == "__main__":
    sys.exit(main())
