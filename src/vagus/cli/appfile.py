"""Applications in files: `fleet.py`, or `fleet.py:app`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.errors import VagusError, nearest

if TYPE_CHECKING:
    from types import ModuleType

    from vagus.streams import App


def load_app(target: str) -> App:
    """The application in a file; its name is needed only where there are several.

    Raises VagusError, with the file and line, if the file can't be run or holds none.
    """
    from vagus.streams import App

    path, name = split(target)
    module = _module(path)
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name is not None:
        if name in apps:
            return apps[name]
        raise VagusError(
            f"no application {name!r}",
            where=str(path),
            hint=nearest(name, apps) or f"there is {', '.join(apps) or 'none'}",
        )
    if len({id(app) for app in apps.values()}) == 1:
        return next(iter(apps.values()))
    if not apps:
        raise VagusError(
            "expected an application, got none", where=str(path), hint='app = vg.App("name")'
        )
    raise VagusError(
        f"expected one application, got {', '.join(apps)}",
        where=str(path),
        hint=f"say which: {path}:{next(iter(apps))}",
    )


def is_file(target: str) -> bool:
    """Whether an application is named by its file."""
    return split(target)[0].suffix == ".py"


def split(target: str) -> tuple[Path, str | None]:
    """The file, and the name after the colon."""
    path, colon, name = target.rpartition(":")
    if colon and name.isidentifier():
        return Path(path), name
    return Path(target), None


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        near = nearest(path.name, [each.name for each in path.parent.glob("*.py")])
        raise VagusError(f"no file {path}", hint=near)
    # As with `python fleet.py`: what lies beside the file can be imported.
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise VagusError("expected a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(path.stem)
    sys.modules[path.stem] = module  # classes look up their annotations there
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        _forget(path.stem, before)
        raise VagusError(
            f"{type(error).__name__}: {error.msg}", where=f"{error.filename}:{error.lineno}"
        ) from error
    except Exception as error:
        _forget(path.stem, before)
        raise _told(error, path) from error
    return module


def _forget(name: str, before: ModuleType | None) -> None:
    if before is None:
        del sys.modules[name]
    else:
        sys.modules[name] = before


def _told(error: Exception, path: Path) -> VagusError:
    """An error of the file's own code, with the last line of its folder that led there."""
    folder = path.resolve().parent
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve().is_relative_to(folder)]
    place = f"{own[-1].filename}:{own[-1].lineno}" if own else str(path)
    if isinstance(error, VagusError):
        where = f"{place}, {error.where}" if error.where else place
        return VagusError(error.message, where=where, hint=error.hint)
    return VagusError(f"{type(error).__name__}: {error}", where=place)
