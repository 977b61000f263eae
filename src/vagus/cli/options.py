"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

HubOption = Annotated[
    str,
    typer.Option(
        "--hub",
        envvar="VAGUS_HUB",
        metavar="HUB",
        help="The hub: a file, or kafka://HOST:PORT.",
        show_default="vagus.db",
    ),
]

RegistryOption = Annotated[
    str | None,
    typer.Option(
        "--registry",
        envvar="VAGUS_REGISTRY",
        metavar="URL",
        help="Where schemas are, if not in the hub: a registry with Confluent's interface.",
        show_default=False,
    ),
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print JSON, for scripts.", show_default=False)
]

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.", show_default=False)]

DEFAULT_HUB = "vagus.db"


def group(name: str, help_text: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(name=name, help=help_text, no_args_is_help=True, rich_markup_mode="rich")


def example(*lines: str) -> dict[str, Any]:
    """The example that ends a command's help."""
    shown = "\n\n".join(f"[dim]$[/dim] {line.replace('[', chr(92) + '[')}" for line in lines)
    return {"epilog": f"[bold]For example[/bold]\n\n{shown}"}
