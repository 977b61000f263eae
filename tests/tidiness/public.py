"""The names that users may rely on.

`python -m tests.tidiness.public` writes them to `public_names.txt`, which a test compares: what we
promise changes only on purpose, and shows in the diff.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from types import ModuleType

import vagus

PINNED = Path(__file__).with_name("public_names.txt")


def public_names() -> dict[str, object]:
    """Every public name with what it stands for: the façade's, and those of its modules."""
    found: dict[str, object] = {}
    for name in vagus.__all__:
        value = getattr(vagus, name)
        found[f"vagus.{name}"] = value
        if isinstance(value, ModuleType):
            found |= {f"vagus.{name}.{inner}": getattr(value, inner) for inner in value.__all__}
    return found


def is_documented_by_itself(value: object) -> bool:
    """Whether a value has a docstring of its own: a constant or an alias shows its type's."""
    return inspect.isclass(value) or inspect.isroutine(value) or isinstance(value, ModuleType)


if __name__ == "__main__":
    PINNED.write_text("".join(f"{name}\n" for name in sorted(public_names())))
