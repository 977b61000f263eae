"""Metadata in headers."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from vagus.events import Metadata


def test_metadata_travels_in_the_headers_of_cloudevents() -> None:
    said = Metadata("e1", "c1", "p1", "00-aa-bb-01")
    assert said.to_headers() == (
        ("ce_id", b"e1"),
        ("ce_correlationid", b"c1"),
        ("ce_causationid", b"p1"),
        ("traceparent", b"00-aa-bb-01"),
    )
    assert Metadata.from_headers([*said.to_headers(), ("other", b"x")]) == said


def test_what_is_not_known_takes_no_header() -> None:
    assert Metadata().to_headers() == ()
    assert Metadata.from_headers(None) == Metadata()


def test_a_caused_event_carries_on_the_correlation_and_the_trace() -> None:
    first = Metadata("e1", None, None, "00-aa-bb-01")
    second = first.caused()
    third = second.caused(traceparent="00-aa-cc-01")
    assert (second.correlation_id, second.causation_id) == ("e1", "e1")
    assert (third.correlation_id, third.causation_id) == ("e1", second.event_id)
    assert (second.traceparent, third.traceparent) == ("00-aa-bb-01", "00-aa-cc-01")


def test_effects_are_what_caused_says_of_many_at_once() -> None:
    causes = [
        Metadata("e-1", "work", "cause", "00-trace"),
        Metadata("e-2"),
        Metadata(traceparent="00-trace"),
        Metadata(),
    ]
    found = Metadata.effects([(*cause.to_headers(), ("other", b"x")) for cause in causes])
    for cause, headers in zip(causes[:3], found[:3], strict=True):
        effect, expected = Metadata.from_headers(headers), cause.caused()
        assert effect.event_id is not None
        assert str(UUID(effect.event_id)) == effect.event_id
        assert UUID(effect.event_id).version == 4
        assert replace(effect, event_id=None) == replace(expected, event_id=None)
    assert found[3] == ()
    assert len({headers[0] for headers in found[:3]}) == 3
