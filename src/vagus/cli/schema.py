"""`vagus schema`: the schemas of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vagus.cli.appfile import is_file, load_app
from vagus.cli.options import DEFAULT_HUB, HubOption, JsonOption, RegistryOption, example, group
from vagus.cli.place import open_hub
from vagus.cli.terminal import listing, note, print_json
from vagus.errors import IncompatibleSchema, SchemaError, VagusError, nearest

if TYPE_CHECKING:
    from vagus.events import Registry

app = group("schema", "Schemas of events: list, show, check.")

INCOMPATIBLE = 3


@app.command("list", **example("vagus schema list"))
def list_schemas(
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the subjects: TOPIC-value, or TOPIC-TYPE where a topic carries several types."""
    with _schemas(hub, registry) as schemas:
        rows = [_row(schemas, subject) for subject in schemas.subjects()]
    listing(
        rows,
        ["subject", "name", "versions", "id", "compatibility"],
        as_json=as_json,
        empty="no schemas yet",
    )


@app.command("show", **example("vagus schema show bus-position", "vagus schema show 3"))
def show(
    what: Annotated[str, typer.Argument(metavar="SUBJECT|TOPIC|ID", help="As `list` shows it.")],
    version: Annotated[
        int | None, typer.Option("--version", help="Of the subject.", show_default="the newest")
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
) -> None:
    """Show a schema, as Avro in JSON."""
    with _schemas(hub, registry) as schemas:
        if what.isdecimal():
            text = schemas.schema(int(what))
        else:
            versions = dict(schemas.versions(_subject(schemas, what)))
            wanted = max(versions) if version is None else version
            if wanted not in versions:
                raise SchemaError(
                    f"no version {wanted} of {what!r}",
                    hint=f"there is {', '.join(map(str, versions))}",
                )
            text = schemas.schema(versions[wanted])
    print_json(json.loads(text))


@app.command(
    "check",
    **example(
        "vagus schema check fleet.py", "vagus schema check bus-position.avsc --subject bus-position"
    ),
)
def check(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An application's file, or an Avro schema.")
    ],
    subject: Annotated[
        str | None,
        typer.Option(
            "--subject",
            metavar="SUBJECT|TOPIC",
            help="What the Avro schema is to follow.",
            show_default=False,
        ),
    ] = None,
    hub: HubOption = DEFAULT_HUB,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check whether schemas can follow those that are there, before anything runs or is registered.

    Exit code 3 if one can't.
    """
    with _schemas(hub, registry) as schemas:
        rows = [_checked(schemas, each, text) for each, text in _candidates(schemas, file, subject)]
    listing(rows, ["subject", "result"], as_json=as_json, empty="no schemas to check")
    broken = [row for row in rows if row["result"] == "incompatible"]
    for row in broken:
        note(f"vagus: {row['subject']}: {row['reason']}")
    if broken:
        raise typer.Exit(INCOMPATIBLE)


def _candidates(registry: Registry, file: str, subject: str | None) -> list[tuple[str, str]]:
    """The schemas in a file, each with its subject."""
    if is_file(file):
        found = []
        for topic in load_app(file).topics.values():
            for schema in topic.schemas if topic.form == "avro" else ():
                part = schema.name if len(topic.schemas) > 1 else "value"
                found.append((f"{topic.name}-{part}", schema.json))
        return found
    path = Path(file)
    if not path.is_file():
        raise VagusError(f"no file {file}")
    if subject is None:
        raise typer.BadParameter("say --subject: which schema is this one to follow?")
    from vagus.events import RecordSchema

    text = path.read_text(encoding="utf-8")
    try:
        RecordSchema.parse(text)
    except SchemaError as error:
        raise SchemaError(error.message, where=file, hint=error.hint) from error
    known = registry.subjects()
    return [(subject if subject in known else f"{subject}-value", text)]


def _checked(registry: Registry, subject: str, text: str) -> dict[str, Any]:
    from vagus.events import check_compatibility

    if subject not in registry.subjects():
        return {"subject": subject, "result": "new", "reason": None}
    old = [registry.schema(schema_id) for _, schema_id in registry.versions(subject)]
    try:
        check_compatibility(text, old, registry.level(subject), subject=subject)
    except IncompatibleSchema as error:
        return {"subject": subject, "result": "incompatible", "reason": str(error)}
    same = any(json.loads(each) == json.loads(text) for each in old)
    return {"subject": subject, "result": "same" if same else "compatible", "reason": None}


@contextmanager
def _schemas(hub: str, registry: str | None) -> Iterator[Registry]:
    """The registry at an address, for which no hub is needed, or else the hub's own."""
    if registry:
        from vagus.hub.confluent import ConfluentRegistry

        yield ConfluentRegistry(registry)
        return
    from vagus.hub import open_registry

    with open_hub(hub) as opened:
        yield open_registry(None, opened)


def _row(registry: Registry, subject: str) -> dict[str, Any]:
    versions = registry.versions(subject)
    newest = versions[-1][1]
    return {
        "subject": subject,
        "name": _name(registry, newest),
        "versions": len(versions),
        "id": newest,
        "compatibility": registry.level(subject),
    }


def _name(registry: Registry, schema_id: int) -> str:
    try:
        schema = json.loads(registry.schema(schema_id))
    except SchemaError:
        return "(not Avro)"
    return str(schema["name"]) if isinstance(schema, dict) and "name" in schema else "(no record)"


def _subject(registry: Registry, name: str) -> str:
    known = registry.subjects()
    if name in known:
        return name
    if f"{name}-value" in known:
        return f"{name}-value"
    raise SchemaError(
        f"no schema {name!r}",
        hint=nearest(name, [*known, *(each.removesuffix("-value") for each in known)])
        or "`vagus schema list` shows what there is",
    )
