"""`vagus forget`: erase a person's data."""

from __future__ import annotations

from typing import Annotated

import typer

from vagus.cli.options import DEFAULT_HUB, HubOption, YesOption, example
from vagus.cli.place import open_hub
from vagus.cli.terminal import ask, note
from vagus.errors import VagusError


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.command("forget", **example("vagus forget 4711", "vagus forget 4711 --yes"))(forget)


def forget(
    person: Annotated[
        str, typer.Argument(metavar="PERSON", help="The person's id, as it is in the events.")
    ],
    yes: YesOption = False,
    hub: HubOption = DEFAULT_HUB,
) -> None:
    """Erase a person's data for good, by deleting the key that it is encrypted with.

    Fields marked vg.Personal then read as null in every topic, table and view. What is not marked
    stays as it is, the person's id too. Nobody can undo this.
    """
    from vagus.hub.personkeys import PersonKeys

    with open_hub(hub) as opened:
        keys = PersonKeys.of(opened)
        if not keys.knows(person):
            keys.forget(person)  # finishes what was begun, if a process died at it
            raise VagusError(
                f"no personal data of {person!r} is kept here",
                where=opened.url,
                hint="was the person forgotten before?",
            )
        ask(f"Erase all personal data of {person!r} for good?", yes=yes)
        keys.forget(person)
    note(f"forgot {person}")
