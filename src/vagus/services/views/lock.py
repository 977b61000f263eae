"""One builder at a time: a lock on a file, which the system lets go of when a process dies."""

from __future__ import annotations

import fcntl
import os

__all__ = ["BuilderLock"]


class BuilderLock:
    """Held by the one that builds the views of a file. In memory it is always free."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file: int | None = None
        self._held = path is None

    @property
    def held(self) -> bool:
        """Whether it is ours."""
        return self._held

    def take(self) -> bool:
        """Take it if it is free; whether it is ours now."""
        if self._held or self._path is None:
            return True
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            return False
        self._file, self._held = file, True
        return True

    def release(self) -> None:
        """Let go of it."""
        if self._file is not None:
            os.close(self._file)
            self._file, self._held = None, False
