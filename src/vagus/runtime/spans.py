"""Spans: what OpenTelemetry is told of events, so that its traces follow them through the hub.

Nothing is done, and nothing imported, in a process that hasn't set up OpenTelemetry itself. Where
it has, an event that carries a trace context gets a span while it is processed, and what comes of
it carries that span's context on.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from vagus.events import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from vagus.runtime.batch import Failure, Origins

    Headers = tuple[tuple[str, bytes], ...]

__all__ = ["Spans", "sending", "tracing"]

_TRACEPARENT = "traceparent"


class Spans:
    """The spans of a batch's events, by their `_seq`."""

    def __init__(self, app: str, origins: Origins) -> None:
        self._spans: dict[int, Any] = {}
        tracer = _tracer() if origins.has_headers else None
        if tracer is None:
            return
        from opentelemetry.trace import SpanKind

        for seq, headers in enumerate(origins.headers(np.arange(len(origins)))):
            parent = dict(headers).get(_TRACEPARENT)
            if parent is None:
                continue
            origin = origins[seq]
            span = tracer.start_span(
                f"process {origin.topic}",
                context=_context(parent),
                kind=SpanKind.CONSUMER,
                attributes={
                    "messaging.system": "vagus",
                    "messaging.destination.name": origin.topic,
                    "messaging.destination.partition.id": str(origin.partition),
                    "messaging.kafka.offset": origin.offset,
                    "messaging.consumer.group.name": app,
                },
            )
            self._spans[seq] = span

    def within(self, headers: list[Headers], seqs: NDArray[Any]) -> list[Headers]:
        """The headers of causes, as seen within their spans: effects carry these on."""
        if not self._spans:
            return headers
        found = []
        for seq, cause in zip(seqs.tolist(), headers, strict=True):
            if seq in self._spans:
                own = (_TRACEPARENT, _traceparent(self._spans[seq]).encode())
                cause = (*(pair for pair in cause if pair[0] != _TRACEPARENT), own)
            found.append(cause)
        return found

    def end(self, failures: Iterable[Failure]) -> None:
        """The batch is processed, but for these."""
        if not self._spans:
            return
        from opentelemetry.trace import StatusCode

        for failure in failures:
            if failure.seq in self._spans:
                self._spans[failure.seq].set_status(StatusCode.ERROR, failure.error)
        for span in self._spans.values():
            span.end()


@contextmanager
def sending(topic: str, metadata: Metadata | None) -> Iterator[Metadata | None]:
    """The metadata to send events with: within a span of the caller's, it carries one of its own.

    A trace context that the metadata has already stays.
    """
    tracer = _tracer()
    if tracer is None or (metadata is not None and metadata.traceparent is not None):
        yield metadata
        return
    from opentelemetry.trace import SpanKind, get_current_span

    if not get_current_span().get_span_context().is_valid:
        yield metadata
        return
    attributes = {"messaging.system": "vagus", "messaging.destination.name": topic}
    with tracer.start_as_current_span(
        f"send {topic}", kind=SpanKind.PRODUCER, attributes=attributes
    ) as span:
        yield replace(metadata or Metadata.new(), traceparent=_traceparent(span))


def tracing() -> bool:
    """Whether this process has set up OpenTelemetry."""
    return _tracer() is not None


def _tracer() -> Any:
    """What makes spans, or None where this process doesn't trace."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None or isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    return trace.get_tracer("vagus")


def _context(traceparent: bytes) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    text = traceparent.decode(errors="replace")
    return TraceContextTextMapPropagator().extract({_TRACEPARENT: text})


def _traceparent(span: Any) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
