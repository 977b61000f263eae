"""Metadata in headers."""

from __future__ import annotations

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
