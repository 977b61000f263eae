"""The `vagus` command: its commands, and how errors end it.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error, told in one line on standard error |
| 2 | the command line itself is wrong |
| 3 | `hub check` found damage, `schema check` found an incompatible schema |
| 130, 143 | stopped at once by a second Ctrl-C, or a second SIGTERM |
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.exceptions import TyperException
from typer.main import get_command

from vagus.cli import (
    consume,
    deadletters,
    demo,
    forget,
    group,
    hub,
    mirror,
    process,
    produce,
    registry,
    run,
    schema,
    serve,
    topic,
    trace,
    view,
)
from vagus.cli.options import example
from vagus.errors import VagusError, nearest
from vagus.runtime.signals import heard

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_AGAIN_S = 0.01  # until a signal that was lost comes again: by then Python is elsewhere

root = typer.Typer(
    name="vagus",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from vagus import __version__

        print(__version__)
        raise typer.Exit


@root.callback(
    **example(
        "vagus demo flights",
        "vagus run fleet.py --workers 2 --http :8080",
        "vagus consume bus-position --follow",
    )
)
def _root(
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show the traceback of an error.", show_default=False),
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            help="Show the version.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Events, streams and services on one hub.

    A hub is a file; name it with --hub or VAGUS_HUB, the default is ./vagus.db.

    Exit codes: 0 done, 1 error, 2 wrong usage, 3 damage or incompatibility found by a check.
    """


run.add_to(root)
produce.add_to(root)
consume.add_to(root)
mirror.add_to(root)
forget.add_to(root)
serve.add_to(root)
trace.add_to(root)
for part in (
    topic.app,
    group.app,
    view.app,
    process.app,
    schema.app,
    registry.app,
    deadletters.app,
    hub.app,
    demo.app,
):
    root.add_typer(part)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    if words.count("--debug"):  # wherever it stands
        words = ["--debug", *(word for word in words if word != "--debug")]
    try:
        with heard(_terminate, [signal.SIGTERM]), _none_lost():
            result = get_command(root).main(words, prog_name="vagus", standalone_mode=False)
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except _Terminated:
        return 128 + signal.SIGTERM
    except BrokenPipeError:  # whoever read has had enough, as in `vagus consume x | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except VagusError as error:
        if debug:
            raise
        return _fail(str(error), 1)
    except Exception as error:  # noqa: BLE001 - a user is told in one line
        return _failure(error, debug)


class _Terminated(BaseException):
    """SIGTERM came."""


def _terminate(_: signal.Signals) -> None:
    """Unwind the command as Ctrl-C does: groups are left, unfinished files removed."""
    raise _Terminated


@contextmanager
def _none_lost() -> Iterator[None]:
    """Have Ctrl-C and SIGTERM come again where Python could not raise them.

    Where it lets go of an object, as it does all the time in an import, it prints what is raised
    there, and goes on as if nothing had come (sys.unraisablehook).
    """

    def look(lost: UnraisableHookArgs) -> None:
        kinds = {KeyboardInterrupt: signal.SIGINT, _Terminated: signal.SIGTERM}
        number = kinds.get(lost.exc_type)
        if number is None:
            ordinary(lost)
        else:
            threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()

    ordinary = sys.unraisablehook
    sys.unraisablehook = look
    try:
        yield
    finally:
        sys.unraisablehook = ordinary


def _failure(error: Exception, debug: bool) -> int:
    if isinstance(error, TyperException):
        if type(error).__name__ == "NoArgsIsHelpError":  # its message is the help itself
            print(error.format_message())
            return error.exit_code
        return _fail(_usage(error), error.exit_code)
    if debug:
        raise error
    if isinstance(error, OSError) and error.filename:
        return _fail(f"{error.strerror}: {error.filename}", 1)
    return _fail(f"{type(error).__name__}: {error} (--debug shows where)", 1)


def _fail(text: str, code: int) -> int:
    sys.stdout.flush()
    print(f"vagus: {' '.join(text.split())}", file=sys.stderr)
    return code


def _usage(error: TyperException) -> str:
    """One line, with the nearest name that there is."""
    text = error.format_message().split(" (Possible options:")[0].rstrip(".")
    text = re.sub(r"^Invalid value: ", "", text)
    text = re.sub(r"^No such command ('\S+')\. Did you mean", r"no command \1: did you mean", text)
    context: Any = getattr(error, "ctx", None)
    if context is None:
        return text
    unknown = getattr(error, "option_name", None)
    if unknown is not None and text.startswith("No such option"):
        options = [o for p in context.command.params for o in (*p.opts, *p.secondary_opts)]
        hint = nearest(unknown, [*(o for o in options if o.startswith("-")), "--help"])
        text = f"no option {unknown}" + (f": {hint}" if hint else "")
    return f"{text} (`{context.command_path} --help` shows more)"
