"""Where a process has set up OpenTelemetry, events carry its traces through the hub."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry import trace as otel
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel

import vagus as vg
from vagus.hub import TopicPartition
from vagus.hub.schemas import HubRegistry
from vagus.runtime.worker import Worker


class Order(vg.Event):
    order_id: str


class Payment(vg.Event):
    order_id: str


def _pay(order: Order) -> Payment:
    if order.order_id == "bad":
        raise ValueError("no")
    return Payment(order_id=order.order_id)


def _shop() -> vg.App:
    app = vg.App("shop")
    app.topic("order", Order, key="order_id").map_events(_pay).to("payment")
    seen = app.topic("payment", Payment)
    app.on(seen)(lambda payment: None)
    return app


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[TracerProvider]:
    provider = TracerProvider()
    monkeypatch.setattr(otel, "get_tracer_provider", lambda: provider)
    yield provider
    provider.shutdown()


@pytest.fixture
def spans(provider: TracerProvider) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def _parent(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


def test_spans_follow_an_event_from_sending_to_its_effects(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with vg.testing.Harness(_shop()) as harness:
        with provider.get_tracer("test").start_as_current_span("buy"):
            harness.client.send("order", Order(order_id="a"))
        harness.run()

    by_name = {span.name: span for span in spans.get_finished_spans()}
    chain = ["buy", "send order", "process order", "process payment"]
    assert set(by_name) == set(chain)
    for cause, effect in itertools.pairwise(chain):
        context = by_name[cause].context
        assert context is not None
        assert _parent(by_name[effect]) == context.span_id


def test_a_failure_is_marked_in_its_span(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    with vg.testing.Harness(_shop()) as harness:
        with provider.get_tracer("test").start_as_current_span("buy"):
            harness.client.send("order", [Order(order_id="bad"), Order(order_id="good")])
        harness.run()

    processed = [span for span in spans.get_finished_spans() if span.name == "process order"]
    assert [span.status.is_ok for span in processed] == [False, True]


def test_events_without_a_trace_get_no_span(spans: InMemorySpanExporter) -> None:
    with vg.testing.Harness(_shop()) as harness:
        harness.client.send("order", Order(order_id="a"), metadata=vg.Metadata.new())
        harness.client.send("order", Order(order_id="b"))
        harness.run()

    assert spans.get_finished_spans() == ()


def test_a_trace_that_came_from_elsewhere_is_carried_on(spans: InMemorySpanExporter) -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with vg.testing.Harness(_shop()) as harness:
        metadata = vg.Metadata.new(traceparent=given)
        harness.client.send("order", Order(order_id="a"), metadata=metadata)
        harness.run()

    first = spans.get_finished_spans()[0]
    assert first.name == "process order"
    assert _parent(first) == 0x00F067AA0BA902B7


def test_without_opentelemetry_set_up_the_context_is_carried_on_as_it_is() -> None:
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with vg.testing.Harness(_shop()) as harness:
        metadata = vg.Metadata.new(traceparent=given)
        harness.client.send("order", Order(order_id="a"), metadata=metadata)
        harness.run()
        with harness.hub.reader({TopicPartition("payment", 0): 0}) as reader:
            (read,) = reader.read()
        assert read.headers is not None
        assert vg.Metadata.from_headers(read.headers[0]).traceparent == given


def test_vagus_itself_never_imports_opentelemetry() -> None:
    program = (
        "import sys, vagus as vg\n"
        "class E(vg.Event):\n    x: int\n"
        "app = vg.App('a')\n"
        "app.topic('e', E).to('f')\n"
        "with vg.testing.Harness(app) as h:\n"
        "    h.client.send('e', E(x=1), metadata=vg.Metadata.new(traceparent='00-1-2-01'))\n"
        "    h.run()\n"
        "print(sum(name.startswith('opentelemetry') for name in sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


class Pay(vg.Command):
    order_id: str


class Case(BaseModel):
    paid: bool = False


def test_spans_follow_a_command_to_its_events(
    provider: TracerProvider, spans: InMemorySpanExporter
) -> None:
    bank = vg.Service("bank")
    cases = bank.aggregate(
        "case",
        key="order_id",
        commands=Pay,
        events=Payment,
        decider=vg.Decider(
            initial=Case,
            decide=lambda command, case: [Payment(order_id=command.order_id)],
            evolve=lambda case, event: Case(paid=True),
        ),
    )
    with vg.connect(":memory:") as hub, bank.connect(hub) as client:
        with provider.get_tracer("test").start_as_current_span("buy"):
            client.call(Pay(order_id="a"), wait=False)
        worker = Worker("bank", bank.topology, hub, HubRegistry(hub))
        while worker.turn():
            pass
        worker.close()

    commands = cases.command_topic.name
    by_name = {span.name: span for span in spans.get_finished_spans()}
    chain = ["buy", f"send {commands}", f"process {commands}"]
    assert set(by_name) == set(chain)
    for cause, effect in itertools.pairwise(chain):
        context = by_name[cause].context
        assert context is not None
        assert _parent(by_name[effect]) == context.span_id
