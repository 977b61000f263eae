"""`vagus dead-letters`: events that an application could not process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.appfile import is_file, load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example, group
from vagus.cli.place import open_hub
from vagus.cli.terminal import listing, note, print_json, time_text
from vagus.errors import VagusError, nearest

if TYPE_CHECKING:
    from vagus.hub import Hub
    from vagus.runtime.deadletters import DeadLetter

app = group("dead-letters", "Events that could not be processed: list, show, replay.")

AppArgument = Annotated[
    str, typer.Argument(metavar="APP", help="The application's name, or its file.")
]


@app.command("list", **example("vagus dead-letters list fleet"))
def list_letters(
    application: AppArgument, hub: HubOption = DEFAULT_HUB, as_json: JsonOption = False
) -> None:
    """List an application's dead letters, oldest first."""
    with open_hub(hub) as opened:
        rows = [_row(letter) for letter in _letters(opened, application)]
    listing(
        rows,
        ["number", "topic", "partition", "offset", "step", "tries", "error"],
        as_json=as_json,
        shown={"error": _first_line},
        empty="no dead letters",
    )


@app.command("show", **example("vagus dead-letters show fleet 0"))
def show(
    application: AppArgument,
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="As `list` shows it.")],
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of a dead letter: the event, the error, where it happened."""
    from vagus.cli.values import TopicReader, plain_bytes
    from vagus.hub import open_registry

    with open_hub(hub) as opened:
        letter = _chosen(list(_letters(opened, application)), [number])[0]
        reader = TopicReader(opened, letter.topic, open_registry(registry, opened))
        event = reader.event(letter.value)
    row = {
        **_row(letter),
        "time": time_text(letter.timestamp),
        "key": plain_bytes(letter.key),
        "event": event,
        "traceback": letter.detail,
    }
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        text = str(value)
        print(f"{name:<11}{text}" if "\n" not in text else f"{name}\n{text.rstrip()}")


@app.command(
    "replay",
    **example("vagus dead-letters replay fleet 0 1", "vagus dead-letters replay fleet --all"),
)
def replay_letters(
    application: AppArgument,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[NUMBER...]", help="As `list` shows them.")
    ] = None,
    all_letters: Annotated[
        bool, typer.Option("--all", help="Every dead letter.", show_default=False)
    ] = False,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Send dead letters again, each to the step that failed: mend that first.

    The letters stay where they are, and one that is replayed twice is processed twice.
    """
    from vagus.runtime.deadletters import replay

    if bool(numbers) == all_letters:
        raise typer.BadParameter("name the letters' numbers, or say --all")
    with open_hub(hub) as opened:
        letters = list(_letters(opened, application))
        wanted = letters if all_letters else _chosen(letters, numbers or [])
        replay(opened, _name(application), wanted)
    note(f"replayed {len(wanted)} dead letter{'s' if len(wanted) != 1 else ''}")


def _name(application: str) -> str:
    return load_app(application).name if is_file(application) else application


def _letters(hub: Hub, application: str) -> list[DeadLetter]:
    from vagus.runtime.deadletters import dead_letter_topic, dead_letters

    name = _name(application)
    topics = hub.topics()
    if dead_letter_topic(name) not in topics:
        ending = dead_letter_topic("")
        known = [topic.removesuffix(ending) for topic in topics if topic.endswith(ending)]
        raise VagusError(
            f"no application {name!r} has run here",
            where=hub.url,
            hint=nearest(name, known) or f"there is {', '.join(known) or 'none'}",
        )
    return list(dead_letters(hub, name))


def _chosen(letters: list[DeadLetter], numbers: list[int]) -> list[DeadLetter]:
    known = {letter.number: letter for letter in letters}
    for number in numbers:
        if number not in known:
            shown = f"{min(known)} to {max(known)}" if known else "none"
            raise VagusError(f"no dead letter {number}", hint=f"there is {shown}")
    return [known[number] for number in numbers]


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.number,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "step": letter.step,
        "tries": letter.tries,
        "error": letter.error,
    }


def _first_line(text: str) -> str:
    line = text.split("\n", maxsplit=1)[0]
    return line if len(line) <= 80 else line[:79] + "…"
