"""Which fields may be personal is checked when an event class is declared."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, Field

import vagus as vg
from vagus.errors import DeclarationError
from vagus.events import RecordSchema


def test_a_personal_field_is_bytes_in_the_schema_which_says_whose_it_is() -> None:
    class Person(vg.Event):
        person_id: int
        email: Annotated[str | None, vg.Personal("person_id")] = None

    assert RecordSchema.of(Person).json == (
        '{"type":"record","name":"Person","fields":[{"name":"person_id","type":"long"},'
        '{"name":"email","type":["null","bytes"],"vagus.personal":{"person":"person_id",'
        '"field":"email","type":"string"},"default":null}]}'
    )


def test_a_personal_field_that_may_not_be_none_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"may be None.*Person\.email.*str \| None"):

        class Person(vg.Event):
            person_id: int
            email: Annotated[str, vg.Personal("person_id")]


def test_a_field_of_a_person_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeclarationError, match=r"got 'persn'.*there are person_id"):

        class Person(vg.Event):
            person_id: int
            email: Annotated[str | None, vg.Personal("persn")] = None


def test_a_person_named_by_personal_data_is_refused() -> None:
    with pytest.raises(DeclarationError, match="personal itself"):

        class Person(vg.Event):
            person_id: int
            name: Annotated[str | None, vg.Personal("person_id")] = None
            email: Annotated[str | None, vg.Personal("name")] = None


def test_a_default_is_refused_since_schemas_are_no_secret() -> None:
    with pytest.raises(DeclarationError, match="a default is no secret"):

        class Person(vg.Event):
            person_id: int
            email: Annotated[str | None, vg.Personal("person_id")] = "ada@example.com"


def test_a_mark_inside_a_type_is_refused() -> None:
    with pytest.raises(DeclarationError, match="got a part of one"):

        class Person(vg.Event):
            person_id: int
            emails: list[Annotated[str | None, vg.Personal("person_id")]]


def test_a_mark_in_a_nested_model_is_refused() -> None:
    class Contact(BaseModel):
        person_id: int
        email: Annotated[str | None, vg.Personal("person_id")] = None

    with pytest.raises(DeclarationError, match="got a part of one"):

        class Person(vg.Event):
            contact: Contact


@pytest.mark.parametrize("kind", [list[str] | None, dict[str, str] | None, bytes | None])
def test_a_personal_field_of_several_values_or_bytes_is_refused(kind: object) -> None:
    with pytest.raises(DeclarationError, match="text, a number, a boolean, a date or a time"):
        type(
            "Person",
            (vg.Event,),
            {
                "__annotations__": {
                    "person_id": int,
                    "data": Annotated[kind, vg.Personal("person_id")],
                },
                "__module__": __name__,
            },
        )


def test_a_personal_field_may_be_of_any_single_type() -> None:
    class Person(vg.Event):
        person_id: int
        paid: Annotated[Decimal, Field(max_digits=9, decimal_places=2)]
        debt: Annotated[
            Decimal | None, Field(max_digits=9, decimal_places=2), vg.Personal("person_id")
        ] = None
        sex: Annotated[Literal["f", "m"] | None, vg.Personal("person_id")] = None

    assert RecordSchema.parse(RecordSchema.of(Person).json).marks.keys() == {"debt", "sex"}


def test_a_personal_key_is_refused() -> None:
    class Person(vg.Event):
        person_id: int
        email: Annotated[str | None, vg.Personal("person_id")] = None

    with pytest.raises(DeclarationError, match="keys are not encrypted"):
        vg.App("people").topic("person", Person, key="email")


def test_types_of_a_topic_that_disagree_on_what_is_personal_are_refused() -> None:
    class Known(vg.Event):
        person_id: int
        email: Annotated[str | None, vg.Personal("person_id")] = None

    class Seen(vg.Event):
        visitor_id: int
        email: Annotated[str | None, vg.Personal("visitor_id")] = None

    app = vg.App("people")
    people = app.topic("person", Known | Seen)
    with pytest.raises(DeclarationError, match="personal in the same way"):
        vg.Client(app, ":memory:").send(people, Seen(visitor_id=1))
