"""Runs a page as its reader would: its blocks from top to bottom, in one empty folder.

- A `python` block is run, in one namespace for the page.
- A block whose fence says `title="name"` is first written to a file of that name; if it is Python,
  it is then run too.
- In a `console` block each line `$ vagus …` or `$ python …` is run, must succeed, and must print
  the lines that follow it, if any (`...` stands for anything). A line that ends in ` &` runs until
  the page ends, which goes on when it has said its first line on standard error, as all that serve
  do. Other commands, such as `$ pip install`, are for the reader alone.
- A block whose fence says `norun` is for the reader alone.

Errors point at the line of the page.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND_TIMEOUT_S = 120
STOP_TIMEOUT_S = 30
# How a program may end after Ctrl-C: cleanly, by the shell's convention, or by the signal itself.
STOPPED = (0, 130, -signal.SIGINT)
RUNNABLE = ("vagus", "python")

_TITLE = re.compile(r'title="([^"]+)"')
_SAME_OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, what else its fence says, its text and its first line."""

    language: str
    info: str
    text: str
    line: int

    @property
    def title(self) -> str | None:
        """The file that this block is to be kept in."""
        found = _TITLE.search(self.info)
        return found[1] if found else None

    @property
    def is_run(self) -> bool:
        """Whether the fence allows running it."""
        return "norun" not in self.info.split()


@dataclass(frozen=True)
class Command:
    """A command line of a console block, and what it is said to print."""

    line: str
    expected: str
    number: int

    @property
    def is_background(self) -> bool:
        """Whether it is to run on until the page ends."""
        return self.line.endswith(" &")


class PageError(AssertionError):
    """A page shows something that isn't so."""


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page; an example file is one block."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return [Block("python", "", text, 1)]
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "fence" and token.map:
            language, _, info = token.info.strip().partition(" ")
            # The block's own text begins one line below its fence; lines are counted from one.
            found.append(Block(language.strip("{}"), info, token.content, token.map[0] + 2))
    return found


def commands(block: Block) -> list[Command]:
    """The command lines of a console block that are run."""
    found: list[Command] = []
    lines = block.text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("$ ") and line.split()[1] in RUNNABLE:
            rest = lines[at + 1 :]
            end = next((i for i, other in enumerate(rest) if other.startswith("$ ")), len(rest))
            found.append(Command(line[2:], "\n".join(rest[:end]).strip(), block.line + at))
    return found


def run_page(path: Path, folder: Path) -> int:
    """Run a page in `folder`, the current one; gives how many blocks and commands ran."""
    count = 0
    with _namespace() as module, ExitStack() as until_the_end:
        for block in blocks(path):
            if block.title:
                target = folder / block.title
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(block.text, encoding="utf-8")
                sys.modules.pop(target.stem, None)  # another test may have imported such a file
            if not block.is_run:
                continue
            if block.language == "python":
                # Empty lines first, so that a traceback names the line of the page.
                padded = "\n" * (block.line - 1) + block.text
                code = compile(padded, str(path), "exec", dont_inherit=True)
                exec(code, module.__dict__)
                count += 1
            elif block.language == "console":
                for command in commands(block):
                    _run_command(command, path, folder, until_the_end)
                    count += 1
    return count


@contextmanager
def _namespace() -> Iterator[ModuleType]:
    """A module of its own for a page: classes find the names in their annotations through it."""
    module = ModuleType("vagus_page")
    sys.modules[module.__name__] = module
    try:
        yield module
    finally:
        del sys.modules[module.__name__]


def _run_command(command: Command, path: Path, folder: Path, until_the_end: ExitStack) -> None:
    where = f"{path}:{command.number}: $ {command.line}"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    if command.is_background:
        # Without a shell in between, so that a signal reaches the command itself.
        words = shlex.split(command.line.removesuffix(" &"))
        process = subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE)
        said = threading.Event()
        passing = threading.Thread(target=_pass_on, args=(process, said), daemon=True)
        passing.start()
        until_the_end.callback(passing.join)
        until_the_end.callback(_stop, process)
        if not said.wait(COMMAND_TIMEOUT_S):
            raise PageError(f"{where}\nsaid nothing for {COMMAND_TIMEOUT_S} s")
        return
    done = subprocess.run(
        command.line,
        shell=True,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise PageError(f"{where}\nended with {done.returncode}\n{done.stdout}{done.stderr}")
    if command.expected and not doctest.OutputChecker().check_output(
        command.expected + "\n", done.stdout, _SAME_OUTPUT
    ):
        raise PageError(f"{where}\nthe page says:\n{command.expected}\nit printed:\n{done.stdout}")


def _pass_on(process: subprocess.Popen[bytes], said: threading.Event) -> None:
    """Pass on what a background command says, until it ends."""
    assert process.stderr is not None
    with process.stderr as lines:
        for line in lines:
            sys.stderr.write(line.decode())
            said.set()
    said.set()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a background command to end, as a reader's Ctrl-C would; it must have run until then."""
    ended_before = process.poll()
    if ended_before is not None:
        raise PageError(f"{process.args} ended by itself with {ended_before}")
    process.send_signal(signal.SIGINT)
    try:
        ended = process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise PageError(f"{process.args} did not stop within {STOP_TIMEOUT_S} s") from None
    if ended not in STOPPED:
        raise PageError(f"{process.args} ended with {ended} when it was stopped")
