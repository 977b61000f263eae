"""Process managers: keyed state, reactions to several topics, timers, and what holds one up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import vagus as vg
from vagus.errors import DeclarationError
from vagus.events import Metadata
from vagus.services import After, Cancel, Done, ProcessType, instances

if TYPE_CHECKING:
    from vagus.streams import Stream

POINTS = ("read", "processed", "written", "committed")


class Placed(vg.Event):
    order_id: str
    cents: int


class Paid(vg.Event):
    payment_id: int
    order_id: str | None


class Failed(vg.Event):
    payment_id: int
    order_id: str | None


class Charge(vg.Event):
    order_id: str
    cents: int


class Ship(vg.Event):
    order_id: str


class Release(vg.Event):
    order_id: str


class TimedOut(vg.Event):
    order_id: str


class Case(BaseModel):
    cents: int = 0
    paid: bool = False
    seen: list[str] = []


def react(event: Any, case: Case) -> Iterator[Any]:
    case.seen.append(type(event).__name__)
    match event:
        case Placed():
            case.cents = event.cents
            yield Charge(order_id=event.order_id, cents=event.cents)
            yield After("15m", TimedOut(order_id=event.order_id))
        case Paid():
            case.paid = True
            yield Cancel(TimedOut)
            yield Ship(order_id=event.order_id or "")
            yield Done()
        case Failed():
            yield Cancel(TimedOut)
            yield Release(order_id=event.order_id or "")
        case TimedOut():
            yield Release(order_id=event.order_id)


class Shop:
    """Orders and payments, two topics with keys of their own, and what follows from them."""

    def __init__(
        self, reaction: Callable[[Any, Any], Any] = react, state: type[BaseModel] = Case
    ) -> None:
        self.app = vg.Service("shop")
        self.orders = self.app.topic("order", Placed, key="order_id", partitions=3)
        self.payments = self.app.topic("payment", Paid | Failed, key="payment_id", partitions=2)
        self.charges = self.app.topic("charge", Charge, key="order_id")
        self.goods = self.app.topic("goods", Ship | Release, key="order_id", partitions=2)
        self.process: ProcessType = self.app.process(
            "fulfil",
            state,
            on={self.orders: "order_id", self.payments: "order_id"},
            react=reaction,
            sends=[self.charges, self.goods],
            timers=TimedOut,
        )


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def h(shop: Shop) -> Iterator[vg.testing.Harness]:
    with vg.testing.Harness(shop.app) as harness:
        yield harness


def _ids(h: vg.testing.Harness, stream: Stream) -> list[tuple[str, str]]:
    frame = h.read(stream)
    types = frame["_type"] if "_type" in frame.columns else ["Charge"] * frame.height
    return sorted(zip(types, frame["order_id"], strict=True))


def test_commands_follow_from_events_of_several_topics(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.send(shop.payments, Paid(payment_id=1, order_id="a"))
    assert _ids(h, shop.charges) == [("Charge", "a")]
    assert _ids(h, shop.goods) == [("Ship", "a")]


def test_each_process_has_a_state_of_its_own(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, [Placed(order_id=one, cents=n) for n, one in enumerate("abc")])
    found = instances(h.hub, h.registry, shop.process)
    assert sorted((one.key, one.state.cents) for one in found) == [("a", 0), ("b", 1), ("c", 2)]


def test_a_timer_fires_when_its_time_has_come(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.advance("14m59s")
    assert _ids(h, shop.goods) == []
    h.advance("1s")
    assert _ids(h, shop.goods) == [("Release", "a")]
    h.advance("1h")
    assert _ids(h, shop.goods) == [("Release", "a")]


def test_a_timer_survives_a_restart(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.restart()
    h.advance("15m")
    assert _ids(h, shop.goods) == [("Release", "a")]


def test_a_timer_that_came_due_while_nothing_ran_fires_at_the_start(
    shop: Shop, h: vg.testing.Harness
) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.restart()
    h._now_s += 3600
    h.run()
    assert _ids(h, shop.goods) == [("Release", "a")]


def test_a_cancelled_timer_never_fires(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.send(shop.payments, Failed(payment_id=1, order_id="a"))
    h.advance("1h")
    assert _ids(h, shop.goods) == [("Release", "a")]


def test_a_timer_of_the_same_name_is_set_anew() -> None:
    shop = Shop(lambda event, case: After("10m", TimedOut(order_id="x")))
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        h.advance("9m")
        h.send(shop.orders, Placed(order_id="a", cents=5))
        h.advance("9m")
        (one,) = instances(h.hub, h.registry, shop.process)
        assert one.next_timer is not None
        assert (one.next_timer.timestamp() - h._now_s) == pytest.approx(60)


def test_timers_of_two_names_both_fire() -> None:
    def reaction(event: Any, case: Case) -> Iterator[Any]:
        if isinstance(event, Placed):
            yield After("1m", TimedOut(order_id="first"), name="first")
            yield After("2m", TimedOut(order_id="second"), name="second")
        else:
            yield Release(order_id=event.order_id)

    shop = Shop(reaction)
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        h.advance("5m")
        assert _ids(h, shop.goods) == [("Release", "first"), ("Release", "second")]


def test_nothing_is_left_of_a_process_that_is_done(shop: Shop, h: vg.testing.Harness) -> None:
    h.send(shop.orders, Placed(order_id="a", cents=5))
    h.send(shop.payments, Paid(payment_id=1, order_id="a"))
    assert instances(h.hub, h.registry, shop.process) == []
    h.advance("1h")
    assert _ids(h, shop.goods) == [("Ship", "a")]


def test_an_event_without_the_field_that_names_the_process_is_passed_over(
    shop: Shop, h: vg.testing.Harness
) -> None:
    h.send(shop.payments, Paid(payment_id=1, order_id=None))
    assert instances(h.hub, h.registry, shop.process) == []
    assert h.dead_letters == []


def test_events_of_a_class_without_that_field_are_passed_over() -> None:
    class Counted(vg.Event):
        sku: str

    app = vg.Service("shop")
    events = app.topic("event", Placed | Counted)
    goods = app.topic("goods", Ship, key="order_id")
    app.process(
        "p",
        Case,
        on={events: "order_id"},
        sends=[goods],
        react=lambda e, _: Ship(order_id=e.order_id),
    )
    with vg.testing.Harness(app) as h:
        h.send(events, [Counted(sku="x"), Placed(order_id="a", cents=1)])
        assert h.read(goods)["order_id"].to_list() == ["a"]


def test_an_event_that_changes_nothing_begins_no_process() -> None:
    shop = Shop(lambda event, case: None)
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        assert instances(h.hub, h.registry, shop.process) == []


def test_what_follows_carries_the_correlation_of_its_cause(
    shop: Shop, h: vg.testing.Harness
) -> None:
    cause = Metadata.new()
    h.client.send(shop.orders, Placed(order_id="a", cents=5), metadata=cause)
    h.run()
    h.advance("15m")  # from then on it is a timer's doing
    found = []
    for name in ("charge", "goods"):
        info = h.hub.describe_topic(name)
        for part in info.partitions:
            from vagus.hub import TopicPartition

            with h.hub.reader({TopicPartition(name, part.partition): 0}) as reader:
                for read in reader.read():
                    found += [Metadata.from_headers(headers) for headers in read.headers or ()]
    assert len(found) == 2
    assert {one.correlation_id for one in found} == {cause.event_id}
    assert {one.causation_id for one in found} == {cause.event_id}


class Fussy(BaseModel):
    seen: list[int] = []


class Faults:
    """A reaction that fails while it is told to."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, event: Any, state: Fussy) -> Iterator[Any]:
        state.seen.append(event.cents)
        yield Charge(order_id=event.order_id, cents=event.cents)
        if self.broken and event.cents == 13:
            raise ZeroDivisionError("thirteen")


def _placed(key: str, *cents: int) -> list[Placed]:
    return [Placed(order_id=key, cents=each) for each in cents]


def test_an_event_that_fails_holds_up_its_process_and_no_other() -> None:
    shop = Shop(Faults(), Fussy)
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, [*_placed("a", 1, 13, 2), *_placed("b", 3)])
        h.send(shop.orders, _placed("a", 4))
        assert sorted(h.read(shop.charges)["cents"]) == [1, 3]
        assert ["thirteen" in letter.error for letter in h.dead_letters] == [True] * 3
        (stuck,) = instances(h.hub, h.registry, shop.process, stuck_for="1h", clock=h._clock)
        assert (stuck.key, stuck.held, stuck.state.seen) == ("a", 3, [1])
        assert stuck.error == "ZeroDivisionError: thirteen"


def test_replaying_the_dead_letters_goes_on_in_the_order_of_the_events() -> None:
    faults = Faults()
    shop = Shop(faults, Fussy)
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, _placed("a", 1, 13, 2))
        faults.broken = False
        h.replay(*h.dead_letters)
        h.send(shop.orders, _placed("a", 4))
        (one,) = instances(h.hub, h.registry, shop.process)
        assert (one.state.seen, one.error, one.held) == ([1, 13, 2, 4], None, 0)


def test_a_replay_that_fails_again_leaves_the_process_held_up() -> None:
    shop = Shop(Faults(), Fussy)
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, _placed("a", 13))
        h.replay(*h.dead_letters)
        h.send(shop.orders, _placed("a", 1))
        (one,) = instances(h.hub, h.registry, shop.process)
        assert (one.state.seen, one.held) == ([], 2)


def test_a_process_that_waits_without_a_timer_is_stuck_after_a_while() -> None:
    shop = Shop(lambda event, case: case.seen.append("it"))
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        assert instances(h.hub, h.registry, shop.process, stuck_for="1h", clock=h._clock) == []
        h.advance("1h")
        stuck = instances(h.hub, h.registry, shop.process, stuck_for="1h", clock=h._clock)
        assert [one.key for one in stuck] == ["a"]


def test_what_no_topic_takes_is_refused_by_name() -> None:
    shop = Shop(lambda event, case: [Placed(order_id="x", cents=1)])
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        (letter,) = h.dead_letters
        assert "name the topic of Placed in sends=" in letter.error


def test_a_timer_that_was_not_declared_is_refused_by_name() -> None:
    shop = Shop(lambda event, case: After("1m", Ship(order_id="x")))
    with vg.testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", cents=5))
        (letter,) = h.dead_letters
        assert "timers=(Ship, ...)" in letter.error


def test_a_field_that_is_not_there_is_refused_when_declared() -> None:
    app = vg.Service("shop")
    orders = app.topic("order", Placed, key="order_id")
    with pytest.raises(DeclarationError, match="did you mean 'order_id'"):
        app.process("p", Case, on={orders: "orderid"}, react=react)


def test_fields_of_two_types_cannot_name_the_process() -> None:
    app = vg.Service("shop")
    orders = app.topic("order", Placed, key="order_id")
    payments = app.topic("payment", Paid, key="payment_id")
    with pytest.raises(DeclarationError, match="of one type"):
        app.process("p", Case, on={orders: "order_id", payments: "payment_id"}, react=react)


def test_bytes_are_refused_when_declared() -> None:
    class Scan(vg.Event):
        order_id: str
        image: bytes

    app = vg.Service("shop")
    scans = app.topic("scan", Scan, key="order_id")
    with pytest.raises(DeclarationError, match=r"Scan\.image"):
        app.process("p", Case, on={scans: "order_id"}, react=react)


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("placed"), st.sampled_from("ab")),
        st.tuples(st.just("paid"), st.sampled_from("ab")),
        st.tuples(st.just("failed"), st.sampled_from("ab")),
        st.tuples(st.just("wait"), st.integers(1, 20)),
    ),
    max_size=8,
)


def _model(steps: list[tuple[str, Any]]) -> tuple[list[str], list[tuple[str, str]]]:
    """What comes of the steps, one after another: charges, and what becomes of the goods."""
    charges: list[str] = []
    goods: list[tuple[str, str]] = []
    timers: dict[str, int] = {}
    now = 0
    for what, value in steps:
        if what == "wait":
            now += value
            for key in [key for key, due in timers.items() if due <= now]:
                del timers[key]
                goods.append(("Release", key))
        elif what == "placed":
            charges.append(value)
            timers[value] = now + 15
        else:
            timers.pop(value, None)
            goods.append(("Ship" if what == "paid" else "Release", value))
    return charges, goods


@given(steps=_steps, crashes=st.lists(st.sampled_from(POINTS), max_size=6))
@settings(max_examples=40, deadline=None)
def test_whatever_crashes_each_event_and_timer_has_its_effect_once(
    steps: list[tuple[str, Any]], crashes: list[Any]
) -> None:
    shop = Shop()
    with vg.testing.Harness(shop.app) as h:
        h.crash_at(*crashes)
        for number, (what, value) in enumerate(steps):
            if what == "wait":
                h.advance(f"{value}m")
            elif what == "placed":
                h.send(shop.orders, Placed(order_id=value, cents=1))
            else:
                kind = Paid if what == "paid" else Failed
                h.send(shop.payments, kind(payment_id=number, order_id=value))
        charges, goods = _model(steps)
        assert sorted(h.read(shop.charges)["order_id"]) == sorted(charges)
        assert _ids(h, shop.goods) == sorted(goods)
