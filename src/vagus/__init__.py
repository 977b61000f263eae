"""Vagus: the central nervous system of a company's software.

>>> import vagus as vg
>>> vg.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vagus import errors as errors
    from vagus.hub import connect as connect

__version__ = "0.1.0"

# Where each public name lives; it is imported when first used, which keeps `import vagus` quick.
# To add one: a line here, one in `__all__`, one among the imports for type checkers above.
_HOMES = {
    "connect": "vagus.hub",
}

# Modules that are public as they are: `vg.errors.UnknownTopic`.
_MODULES = frozenset({"errors"})

__all__ = [
    "__version__",
    "connect",
    "errors",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = import_module(f"vagus.{name}")
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'vagus' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
