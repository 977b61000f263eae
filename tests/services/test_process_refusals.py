"""Refused commands of a process manager: its case is told, once and in order, and can react."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import vagus as vg
from tests.personal.people import everything
from vagus import testing
from vagus.errors import DeclarationError
from vagus.services import After, Refusal, instances
from vagus.streams.trace import trace

POINTS = ("read", "processed", "written", "committed")


class Placed(vg.Event):
    order_id: str
    skus: list[str]


class Reserve(vg.Command):
    sku: str
    order_id: str


class Release(vg.Command):
    sku: str
    order_id: str


class Reserved(vg.Event):
    sku: str
    order_id: str


class Released(vg.Event):
    sku: str
    order_id: str


class Reject(vg.Event):
    order_id: str
    reason: str


class TimedOut(vg.Event):
    order_id: str


class Shelf(BaseModel):
    kept: list[str] = []


class Case(BaseModel):
    heard: list[str] = []


def decide(command: Any, shelf: Shelf) -> Any:
    """Each product is there once."""
    if isinstance(command, Release):
        return Released(sku=command.sku, order_id=command.order_id)
    if shelf.kept:
        raise vg.Refused("sold-out", "it is gone", to=shelf.kept[0])
    return Reserved(sku=command.sku, order_id=command.order_id)


def evolve(shelf: Shelf, event: Any) -> Shelf:
    return Shelf(kept=[event.order_id] if isinstance(event, Reserved) else [])


def react(event: Any, case: Case) -> Iterator[Any]:
    match event:
        case Placed(order_id=order, skus=skus):
            for sku in skus:
                yield Reserve(sku=sku, order_id=order)
            case.heard.append("placed")
        case Reserved(sku=sku):
            case.heard.append(f"has {sku}")
        case vg.Refusal(command=Reserve(sku=sku, order_id=order), reason=reason):
            case.heard.append(f"no {sku}: {reason.code}, {reason.reason}, {reason.data['to']}")
            yield Reject(order_id=order, reason=sku)


class Shop:
    """A service with stock, and a process that wants some of it."""

    def __init__(
        self,
        reaction: Callable[[Any, Any], Any] = react,
        refusals: Any = Reserve,
        decider: Callable[[Any, Any], Any] = decide,
    ) -> None:
        self.app = vg.Service("shop")
        self.stock = self.app.aggregate(
            "stock",
            key="sku",
            commands=Reserve | Release,
            events=Reserved | Released,
            decider=vg.Decider(initial=Shelf, decide=decider, evolve=evolve),
        )
        self.orders = self.app.topic("order", Placed, key="order_id")
        self.rejects = self.app.topic("reject", Reject, key="order_id")
        self.process = self.app.process(
            "fulfil",
            Case,
            on={self.orders: "order_id", self.stock.events: "order_id"},
            react=reaction,
            sends=[self.stock.commands, self.rejects],
            timers=TimedOut,
            refusals=refusals,
        )

    def cases(self, h: testing.Harness) -> dict[str, list[str]]:
        return {one.key: one.state.heard for one in instances(h.hub, h.registry, self.process)}


def test_the_case_that_sent_a_command_is_told_why_it_was_refused() -> None:
    shop = Shop()
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=["tea"]))
        h.send(shop.orders, Placed(order_id="b", skus=["tea"]))
        assert shop.cases(h) == {
            "a": ["placed", "has tea"],
            "b": ["placed", "no tea: sold-out, it is gone, a"],
        }
        assert h.dead_letters == []


def test_what_a_case_makes_of_a_refusal_is_sent() -> None:
    shop = Shop()
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=["tea", "tea", "tea"]))
        assert h.read(shop.rejects).select("order_id", "reason").rows() == [("a", "tea")] * 2


def test_refusals_come_in_the_order_in_which_the_commands_were_decided() -> None:
    shop = Shop()
    skus = [f"p{number}" for number in range(20)]
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=skus))
        h.send(shop.orders, Placed(order_id="b", skus=skus))
        told = [f"no {sku}: sold-out, it is gone, a" for sku in skus]
        assert shop.cases(h)["b"] == ["placed", *told]


def test_refused_commands_of_other_senders_are_not_told_to_a_process() -> None:
    shop = Shop()
    with testing.Harness(shop.app) as h:
        for _ in range(2):
            outcome = h.send(Reserve(sku="tea", order_id="a"))
        assert outcome.refused is not None
        assert h.read("stock-refusal").height == 0


def test_another_process_is_not_told() -> None:
    shop = Shop()
    others: list[Any] = []

    def hear(event: Any, case: Case) -> None:
        others.append(event)

    shop.app.process(
        "ful",  # its name begins as that of the other
        Case,
        on={shop.orders: "order_id"},
        react=hear,
        sends=[shop.stock.commands],
        refusals=Reserve,
    )
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=["tea", "tea"]))
        assert len(shop.cases(h)["a"]) == 3
    assert [type(event) for event in others] == [Placed]


def test_a_key_may_hold_slashes_and_numbers_are_keys_too() -> None:
    class Wanted(vg.Event):
        number: int

    class Take(vg.Command):
        sku: str

    heard: list[Any] = []

    def hear(event: Any, case: Case) -> Iterator[Any]:
        heard.append(event)
        case.heard.append("it")
        if isinstance(event, Wanted):
            yield Take(sku="a/b")

    def refuse(command: Any, shelf: Shelf) -> Any:
        raise vg.Refused("never")

    app = vg.Service("shop")
    stock = app.aggregate(
        "stock",
        key="sku",
        commands=Take,
        events=Reserved,
        decider=vg.Decider(initial=Shelf, decide=refuse, evolve=evolve),
    )
    wanted = app.topic("wanted", Wanted, key="number")
    process = app.process(
        "p", Case, on={wanted: "number"}, react=hear, sends=[stock.commands], refusals=Take
    )
    with testing.Harness(app) as h:
        h.send(wanted, Wanted(number=-7))
        (one,) = instances(h.hub, h.registry, process)
        assert (one.key, one.state.heard) == (-7, ["it", "it"])
    assert heard[1].command == Take(sku="a/b")
    shop = Shop()
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="x/y/", skus=["tea", "tea"]))
        assert len(shop.cases(h)["x/y/"]) == 3


def test_a_refusal_that_a_process_does_not_declare_holds_up_its_case() -> None:
    shop = Shop(refusals=())
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=["tea", "tea"]))
        h.send(shop.orders, Placed(order_id="a", skus=["milk"]))
        (stuck,) = instances(h.hub, h.registry, shop.process, stuck_for="1h", clock=h._clock)
        assert stuck.key == "a"
        assert stuck.error is not None
        assert stuck.error.startswith("VagusError: Reserve was refused: sold-out: it is gone")
        assert stuck.held == 2
        assert "declare refusals=Reserve" in h.dead_letters[0].error
        shop.process.refusal_types = frozenset({Reserve})  # as if it were started anew, mended
        h.replay(*h.dead_letters)
        (one,) = instances(h.hub, h.registry, shop.process)
        assert (one.error, one.held) == (None, 0)
        assert one.state.heard == [
            "placed",
            "has tea",
            "no tea: sold-out, it is gone, a",
            "placed",
            "has milk",
        ]


def test_a_refusal_that_finds_its_case_over_is_not_lost() -> None:
    def once(event: Any, case: Case) -> Iterator[Any]:
        yield Reserve(sku="tea", order_id=event.order_id)
        yield vg.Done()

    shop = Shop(once, refusals=())
    with testing.Harness(shop.app) as h:
        h.send(Reserve(sku="tea", order_id="other"))
        h.send(shop.orders, Placed(order_id="a", skus=[]))
        stuck = instances(h.hub, h.registry, shop.process, stuck_for="1h", clock=h._clock)
        assert [(one.key, one.held) for one in stuck if one.key == "a"] == [("a", 1)]


def test_a_command_that_a_timer_had_sent_is_told_of_too() -> None:
    def later(event: Any, case: Case) -> Iterator[Any]:
        match event:
            case Placed(order_id=order):
                yield After("1h", TimedOut(order_id=order))
            case TimedOut(order_id=order):
                yield Reserve(sku="tea", order_id=order)
            case vg.Refusal():
                case.heard.append(event.reason.code)

    shop = Shop(later)
    with testing.Harness(shop.app) as h:
        h.send(Reserve(sku="tea", order_id="other"))
        h.send(shop.orders, Placed(order_id="a", skus=[]))
        h.restart()
        h.advance("1h")
        assert shop.cases(h)["a"] == ["sold-out"]


def test_a_dead_command_that_is_replayed_and_refused_is_told_then() -> None:
    broken = [True]

    def mended_later(command: Any, shelf: Shelf) -> Any:
        if broken[0]:
            raise ZeroDivisionError
        raise vg.Refused("sold-out", "it is gone", to="b")

    shop = Shop(decider=mended_later)
    with testing.Harness(shop.app) as h:
        h.send(shop.orders, Placed(order_id="a", skus=["tea"]))
        assert shop.cases(h)["a"] == ["placed"]
        broken[0] = False
        h.replay(*h.dead_letters)
        assert shop.cases(h)["a"] == ["placed", "no tea: sold-out, it is gone, b"]


def test_what_follows_from_a_refusal_is_part_of_the_same_trace() -> None:
    shop = Shop()
    with testing.Harness(shop.app) as h:
        cause = vg.Metadata.new()
        h.client.send(shop.orders, Placed(order_id="a", skus=["tea", "tea"]), metadata=cause)
        h.run()
        types = [each[1].type for each in trace(h.hub, cause.event_id or "", h.registry)]
        assert types.count("Refusal") == 1
        assert types.index("Reject") > types.index("Refusal")


def test_a_refusal_holds_no_plain_personal_data() -> None:
    class Greet(vg.Command):
        sku: str
        order_id: str
        name: Annotated[str | None, vg.Personal("order_id")] = None

    told: list[Any] = []

    def hear(event: Any, case: Case) -> Iterator[Any]:
        if isinstance(event, Placed):
            case.heard.append("it")
            yield Greet(sku="tea", order_id=event.order_id, name="Ada Lovelace")
        else:
            told.append(event.command.name)

    def refuse(command: Any, shelf: Shelf) -> Any:
        raise vg.Refused("no")

    app = vg.Service("shop")
    stock = app.aggregate(
        "stock",
        key="sku",
        commands=Greet,
        events=Reserved,
        decider=vg.Decider(initial=Shelf, decide=refuse, evolve=evolve),
    )
    orders = app.topic("order", Placed, key="order_id")
    app.process(
        "p", Case, on={orders: "order_id"}, react=hear, sends=[stock.commands], refusals=Greet
    )
    with testing.Harness(app) as h:
        h.send(orders, Placed(order_id="a", skus=[]))
        assert told == ["Ada Lovelace"]
        assert b"Lovelace" not in everything(h.hub)


def test_only_refusals_of_commands_that_are_sent_can_be_declared() -> None:
    class Reserver(vg.Command):
        sku: str

    with pytest.raises(DeclarationError, match="did you mean 'Reserve'"):
        Shop(refusals=Reserver)
    with pytest.raises(DeclarationError, match="refusals of process 'fulfil'"):
        Shop(refusals="Reserve")


def test_a_sentence_tells_what_follows_from_a_refusal() -> None:
    process = Shop().process
    placed, asked = Placed(order_id="a", skus=["x"]), Reserve(sku="x", order_id="a")
    refusal = Refusal(asked, vg.Refused("sold-out", to="b"))
    testing.given(process, placed, refusal).then(asked, Reject(order_id="a", reason="x"))
    testing.given(process, placed).after("1h", refusal).then(
        asked, Reject(order_id="a", reason="x")
    )
    with pytest.raises(AssertionError, match="to have sent Reserve"):
        testing.given(process, refusal).then()
    with pytest.raises(AssertionError, match="Reserve was refused: sold-out"):
        testing.given(Shop(refusals=()).process, placed, refusal).then(asked)


_orders = st.lists(st.lists(st.sampled_from("xyz"), max_size=4), max_size=6)


@given(orders=_orders, crashes=st.lists(st.sampled_from(POINTS), max_size=8))
@settings(max_examples=40, deadline=None)
def test_whatever_crashes_each_refusal_is_told_once(
    orders: list[list[str]], crashes: list[Any]
) -> None:
    shop = Shop()
    with testing.Harness(shop.app) as h:
        h.crash_at(*crashes)
        kept: set[str] = set()
        expected: list[tuple[str, str]] = []
        for number, skus in enumerate(orders):
            h.send(shop.orders, Placed(order_id=str(number), skus=skus))
            for sku in skus:
                if sku in kept:
                    expected.append((str(number), sku))
                kept.add(sku)
        assert sorted(h.read(shop.rejects).select("order_id", "reason").rows()) == sorted(expected)
        h.run()
        told = [line for heard in shop.cases(h).values() for line in heard if "no " in line]
        assert len(told) == len(expected)
