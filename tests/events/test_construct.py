"""Events of a frame are the same, whether they are checked one by one or not."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any, Literal, Self

import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vagus.errors import DecodeError, EncodeError
from vagus.events import Event
from vagus.events.construct import maker_of


class Mood(Enum):
    CALM = "calm"
    WILD = "wild"


class Place(pydantic.BaseModel):
    x: int
    name: str | None = None


class Seen(Event):
    host: str
    at: datetime | None
    mood: Mood
    side: Literal["left", "right"] = "left"
    places: list[Place] = []  # noqa: RUF012
    score: Annotated[int, pydantic.Field(ge=0)] = 0


_PLACES = st.builds(Place, x=st.integers(-5, 5), name=st.none() | st.text(max_size=2))
_SEEN = st.builds(
    Seen,
    host=st.text(),
    at=st.none() | st.datetimes().map(lambda at: at.replace(tzinfo=UTC)),
    mood=st.sampled_from(Mood),
    side=st.sampled_from(["left", "right"]),
    places=st.lists(_PLACES, max_size=2),
    score=st.integers(0, 2**62),
)


@given(st.lists(_SEEN, max_size=4))
def test_events_are_made_as_they_were(events: list[Seen]) -> None:
    maker = maker_of(Seen)
    assert maker is not None
    made = maker.make(Seen.to_frame(events))
    assert made == events
    assert all(event.model_fields_set == set(Seen.model_fields) for event in made or [])


def test_an_event_that_was_made_can_do_what_others_can() -> None:
    (made,) = Seen.from_frame(Seen.to_frame([Seen(host="a", at=None, mood=Mood.CALM)]))
    assert pickle.loads(pickle.dumps(made)) == made
    assert copy.deepcopy(made) == made
    assert made.model_copy(update={"host": "b"}).host == "b"
    assert made.model_validate_json(made.model_dump_json()) == made
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        made.host = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("host", [None], "valid string"),
        ("mood", ["mild"], "'calm' or 'wild'"),
        ("side", ["up"], "'left' or 'right'"),
        ("score", [-1], "greater than or equal to 0"),
        ("score", [1.5], "valid integer"),
    ],
)
def test_what_the_class_does_not_allow_is_refused(column: str, values: Any, says: str) -> None:
    frame = Seen.to_frame([Seen(host="a", at=None, mood=Mood.CALM)])
    with pytest.raises(DecodeError, match=says):
        Seen.from_frame(frame.with_columns(pl.Series(column, values)))


def test_checks_of_the_class_are_run() -> None:
    class Range(Event):
        low: int
        high: int

        @pydantic.model_validator(mode="after")
        def _ordered(self) -> Self:
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    class Shout(Event):
        word: str

        @pydantic.field_validator("word")
        @classmethod
        def _upper(cls, word: str) -> str:
            return word.upper()

    class Trim(Event, str_strip_whitespace=True):
        word: str

    class Counted(Event):
        word: str

        def model_post_init(self, _context: Any) -> None:
            made.append(self.word)

    made: list[str] = []
    with pytest.raises(DecodeError, match="low is above high"):
        Range.from_frame(pl.DataFrame({"low": [2], "high": [1]}))
    assert Shout.from_frame(pl.DataFrame({"word": ["a"]})) == [Shout(word="A")]
    assert Trim.from_frame(pl.DataFrame({"word": [" a "]}))[0].word == "a"
    Counted.from_frame(pl.DataFrame({"word": ["a", "b"]}))
    assert made == ["a", "b"]


def test_a_missing_column_gets_its_default() -> None:
    class Ping(Event):
        host: str
        hops: int = 3

    assert Ping.from_frame(pl.DataFrame({"host": ["a"]})) == [Ping(host="a")]


def test_an_instant_that_python_has_not_is_refused() -> None:
    class Tick(Event):
        at: datetime

    far = pl.DataFrame({"at": pl.Series([2**62]).cast(pl.Datetime("us", "UTC"))})
    with pytest.raises(DecodeError, match="values that Python has") as raised:
        Tick.from_frame(far)
    assert raised.value.where == "Tick.at"


def test_events_of_another_class_are_refused() -> None:
    class Ping(Event):
        host: str

    class Pong(Event):
        hops: int

    with pytest.raises(EncodeError, match="expected events of type Ping, got Pong"):
        Ping.to_frame([Ping(host="a"), Pong(hops=1)])  # type: ignore[list-item]
