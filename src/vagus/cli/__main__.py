"""`python -m vagus.cli`, where the script `vagus` is not at hand."""

import sys

from vagus.cli import main

if __name__ == "__main__":
    sys.exit(main())
