"""What can go wrong with a view, and what its questions can be refused for."""

from __future__ import annotations

from collections.abc import Iterable

from vagus.errors import VagusError, nearest

__all__ = [
    "BadQuestion",
    "UnknownField",
    "UnknownView",
    "ViewBehind",
    "ViewNotBuilt",
    "ViewStopped",
]


class UnknownView(VagusError):
    """No view of that name."""

    def __init__(self, view: str, known: Iterable[str], *, service: str) -> None:
        names = list(known)
        super().__init__(
            f"no view {view!r}",
            where=service,
            hint=nearest(view, names) or f"there are {', '.join(names) or 'none'}",
        )


class BadQuestion(VagusError):
    """A view can't be asked that."""


class UnknownField(BadQuestion):
    """A filter or sort key names no field of the view's rows."""

    def __init__(self, field: str, known: Iterable[str], *, view: str) -> None:
        names = list(known)
        super().__init__(
            f"no field {field!r}",
            where=f"view {view!r}",
            hint=nearest(field, names) or f"there are {', '.join(names)}",
        )


class ViewNotBuilt(VagusError):
    """The view can't answer yet: it is being built."""


class ViewBehind(VagusError):
    """The view has not reached a token within the time that the question gave it."""


class ViewStopped(VagusError):
    """The view came to an event that it can't process, and goes no further.

    `topic`, `partition` and `offset` are the event's place.
    """

    def __init__(
        self, view: str, error: str, *, topic: str, partition: int, offset: int, rebuild: bool
    ) -> None:
        self.view, self.error = view, error
        self.topic, self.partition, self.offset = topic, partition, offset
        what = f"the build of view {view!r}" if rebuild else f"view {view!r}"
        super().__init__(
            f"{what} stopped: {error}",
            where=f"{topic}, partition {partition}, offset {offset}",
            hint="mend its function and start the service again: it goes on from there; or declare "
            'it with on_error="dead-letter", and such events are set apart',
        )
