"""Services do on Kafka what they do on the embedded hub: a test for each thing they offer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from pydantic import BaseModel

import vagus as vg
from tests.contract.hubs import ClusterUnderTest, FileHub, HubUnderTest, eventually
from tests.personal.people import everything
from tests.services import bank
from tests.services.bank import Deposit, Deposited, Withdraw, Withdrawn
from vagus.hub import TopicPartition
from vagus.hub.reading import read_all
from vagus.hub.schemas import HubRegistry
from vagus.runtime.deadletters import dead_letters, replay
from vagus.runtime.runner import Runner
from vagus.serve.gateway import Gateway
from vagus.services import Conflict, Queries, TopicOwned, instances
from vagus.services.envelope import REPLIES, REPLY_PARTITIONS
from vagus.streams.trace import trace

WAIT_S = 60.0


@pytest.fixture(params=["file", "kafka"])
def under_test(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[HubUnderTest]:
    monkeypatch.chdir(tmp_path)  # where the views' files of services on Kafka are
    made: HubUnderTest
    if request.param == "file":
        made = FileHub(tmp_path)
    else:
        made = ClusterUnderTest(request.getfixturevalue("kafka"))
    yield made
    made.close()


@contextmanager
def at_work(under_test: HubUnderTest, service: vg.App) -> Iterator[None]:
    """A service, run with a connection of its own."""
    failures: list[BaseException] = []
    runner = Runner(service, under_test.connect())

    def run() -> None:
        try:
            runner.run()
        except BaseException as error:  # noqa: BLE001 - told below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        runner.stop()
        thread.join()
    assert failures == []


def deposits(count: int, account: str = "a") -> list[Deposit]:
    return [Deposit(account=account, cents=number + 1) for number in range(count)]


# Deciding


def test_outcomes_say_where_events_lie_and_refusals_why(under_test: HubUnderTest) -> None:
    service = bank.bank(partitions=2)
    with at_work(under_test, service), service.connect(under_test.connect()) as client:
        outcomes = [client.call(command, timeout_s=WAIT_S) for command in deposits(3)]
        assert [outcome.version for outcome in outcomes] == [1, 2, 3]
        refused = client.call(Withdraw(account="a", cents=7)).refused
        assert refused is not None
        assert (refused.code, refused.data) == ("too-little", {"left": 6})
        stored = vg.Client(service, client.hub).read("account-event", offsets=True)
        assert stored.select("_partition", "_offset").rows() == [
            (event.partition, event.offset) for outcome in outcomes for event in outcome.events
        ]


def test_a_service_that_starts_again_knows_states_versions_and_answers(
    under_test: HubUnderTest,
) -> None:
    service = bank.bank(partitions=2)
    with service.connect(under_test.connect()) as client:
        with at_work(under_test, service):
            first = client.call(
                Deposit(account="a", cents=5), idempotency_key="k", timeout_s=WAIT_S
            )
        with at_work(under_test, service):
            again = client.call(
                Deposit(account="a", cents=5), idempotency_key="k", timeout_s=WAIT_S
            )
            assert (again.version, again.events) == (first.version, first.events)
            reused = client.call(Deposit(account="a", cents=6), idempotency_key="k").refused
            assert reused is not None
            assert reused.code == "idempotency-key-reused"
            old = client.call(Deposit(account="a", cents=5), expected_version=0).refused
            assert isinstance(old, Conflict)
            assert (old.expected, old.actual) == (0, 1)
            assert client.call(Withdraw(account="a", cents=5), expected_version=1).accepted


def test_a_waiting_caller_does_not_wait_for_the_commit_interval(under_test: HubUnderTest) -> None:
    service = vg.Service("bank", commit_interval="1h")
    service.aggregate(
        "account",
        key="account",
        commands=Deposit | Withdraw,
        events=Deposited | Withdrawn,
        decider=bank.DECIDER,
    )
    with at_work(under_test, service), service.connect(under_test.connect()) as client:
        for number in range(3):
            outcome = client.call(Deposit(account="a", cents=1), timeout_s=WAIT_S)
            assert outcome.version == number + 1


def test_a_command_that_fails_is_a_dead_letter_and_can_be_replayed(
    under_test: HubUnderTest,
) -> None:
    broken = [True]

    def decide(command: Any, account: Any) -> Any:
        if broken[0]:
            raise ZeroDivisionError("broken")
        return bank.decide(command, account)

    decider = vg.Decider(initial=bank.Account, decide=decide, evolve=bank.evolve)
    service, hub = bank.bank(decider=decider), under_test.connect()
    with at_work(under_test, service), service.connect(hub) as client:
        with pytest.raises(vg.services.CommandFailed, match="broken"):
            client.call(Deposit(account="a", cents=5), timeout_s=WAIT_S)
        broken[0] = False
        replay(hub, "bank", list(dead_letters(hub, "bank")))
        events = vg.Client(service, hub)
        eventually(lambda: events.read("account-event")["cents"].to_list() == [5], "it is done")


def test_two_services_cannot_claim_the_same_topics(under_test: HubUnderTest) -> None:
    first = bank.bank()
    with at_work(under_test, first), first.connect(under_test.connect()) as client:
        client.call(Deposit(account="a", cents=1), timeout_s=WAIT_S)
        with pytest.raises(TopicOwned, match="'bank'"):
            Runner(bank.bank("other"), under_test.connect()).run()


# Views


class Balance(vg.Row):
    account: str
    cents: int
    note: str = ""


def balances(service: vg.Service, **options: Any) -> None:
    """A view of what is in the accounts."""

    @service.view(
        "balance",
        Balance,
        key="account",
        of=service.aggregates["account"],
        index=["cents"],
        search=["note"],
        **options,
    )
    def balance(event: Any, rows: Any) -> None:
        known = rows.get(event.account) or Balance(account=event.account, cents=0)
        change = event.cents if isinstance(event, Deposited) else -event.cents
        note = getattr(event, "note", "")
        rows.put(Balance(account=event.account, cents=known.cents + change, note=note))


def test_a_query_with_a_token_sees_what_the_command_did(under_test: HubUnderTest) -> None:
    service = bank.bank(partitions=2)
    balances(service)
    hub = under_test.connect()
    with (
        at_work(under_test, service),
        service.connect(hub) as client,
        Queries(service, hub) as queries,
    ):
        queries.follow()
        total = 0
        for command in deposits(10):  # each commit is followed by a marker
            outcome = client.call(command, timeout_s=WAIT_S)
            total += command.cents
            row = queries["balance"].get("a", token=outcome.token, wait_s=WAIT_S)
            assert row.cents == total
        refused = client.call(Withdraw(account="a", cents=1000))
        assert queries["balance"].get("a", token=refused.token).cents == total


def test_views_search_sort_and_page(under_test: HubUnderTest) -> None:
    service = bank.bank(partitions=2)
    balances(service)
    hub = under_test.connect()
    with (
        at_work(under_test, service),
        service.connect(hub) as client,
        Queries(service, hub) as queries,
    ):
        queries.follow()
        for number in range(5):
            command = Deposit(account=f"a{number}", cents=number + 1, note=f"for rent {number}")
            outcome = client.call(command, timeout_s=WAIT_S)
            queries["balance"].get("x", token=outcome.token, wait_s=WAIT_S)
        view = queries["balance"]
        page = view.find(search="rent", sort="-cents", limit=2)
        assert [row.account for row in page] == ["a4", "a3"]
        rest = view.find(search="rent", sort="-cents", limit=9, after=page.next)
        assert [row.account for row in rest] == ["a2", "a1", "a0"]
        assert [row.account for row in view.find(cents_from=2, cents_to=4)] == ["a1", "a2"]


def test_a_reply_within_the_process_is_written_only_where_a_commit_may_be_in_doubt(
    under_test: HubUnderTest,
) -> None:
    service = bank.bank()
    hub = under_test.connect()
    with at_work(under_test, service), service.connect(hub) as client:
        assert client.call(Deposit(account="a", cents=5), timeout_s=WAIT_S).version == 1
        places = [TopicPartition(REPLIES.name, number) for number in range(REPLY_PARTITIONS)]
        written = sum(map(len, read_all(hub, places)))
    assert written == (1 if hub.in_doubt else 0)


def test_a_view_goes_on_where_it_was_and_can_be_rebuilt(under_test: HubUnderTest) -> None:
    service = bank.bank(partitions=2)
    balances(service)
    hub = under_test.connect()
    with at_work(under_test, service), service.connect(hub) as client:
        with Queries(service, hub) as queries:
            queries.follow()
            token = client.call(Deposit(account="a", cents=5), timeout_s=WAIT_S).token
            assert queries["balance"].get("a", token=token, wait_s=WAIT_S).cents == 5
        token = client.call(Deposit(account="a", cents=6), timeout_s=WAIT_S).token
        with Queries(service, hub) as queries:
            assert queries["balance"].get("a").cents == 5
            queries.follow()
            assert queries["balance"].get("a", token=token, wait_s=WAIT_S).cents == 11
        told: list[tuple[int, int]] = []
        with Queries(service, hub) as queries:
            queries.rebuild("balance", lambda done, total: told.append((done, total)))
            assert queries["balance"].get("a", token=token).cents == 11
        done, total = told[-1]
        assert done == total > 0


def test_a_newer_view_is_built_while_the_old_one_answers(under_test: HubUnderTest) -> None:
    go_on = threading.Event()
    service, newer = bank.bank(), bank.bank()
    balances(service)

    @newer.view("balance", Balance, key="account", of=newer.aggregates["account"], version=2)
    def slow(event: Any, rows: Any) -> None:
        assert go_on.wait(WAIT_S)
        rows.put(Balance(account=event.account, cents=-1))

    hub = under_test.connect()
    with at_work(under_test, service), service.connect(hub) as client:
        with Queries(service, hub) as queries:
            queries.follow()
            token = client.call(Deposit(account="a", cents=5), timeout_s=WAIT_S).token
            queries["balance"].get("a", token=token, wait_s=WAIT_S)
        with Queries(newer, hub) as queries:
            queries.follow()
            view = queries["balance"]
            try:
                eventually(lambda: view.status().building is not None, "it is being built")
                assert view.get("a").cents == 5
            finally:
                go_on.set()
            eventually(lambda: view.get("a").cents == -1, "the new one is there")


def test_the_views_of_two_hubs_are_never_taken_for_one_another(
    under_test: HubUnderTest, tmp_path: Path
) -> None:
    service = bank.bank()
    balances(service)
    other = tmp_path / "other"
    other.mkdir()
    with (
        Queries(service, under_test.connect()) as here,
        Queries(service, under_test.connect()) as again,
        vg.connect(str(other / "hub.db")) as elsewhere,
        Queries(service, elsewhere) as there,
    ):
        assert here.path == again.path != there.path


def test_a_view_that_was_built_from_another_hub_is_built_again(
    under_test: HubUnderTest, tmp_path: Path
) -> None:
    service = bank.bank()
    balances(service)
    path = str(tmp_path / "views.db")
    with vg.testing.Harness(service) as elsewhere:
        for _ in range(3):
            elsewhere.send(Deposit(account="a", cents=5))
        with Queries(service, elsewhere.hub, path=path) as queries:
            queries.refresh()
            assert queries["balance"].get("a").cents == 15
    hub = under_test.connect()
    with at_work(under_test, service), service.connect(hub) as client:
        for _ in range(4):
            token = client.call(Deposit(account="a", cents=1), timeout_s=WAIT_S).token
        with Queries(service, hub, path=path) as queries:
            queries.follow()
            queries.wait_ready(WAIT_S)
            assert queries["balance"].get("a", token=token, wait_s=WAIT_S).cents == 4


# What follows


class Order(vg.Event):
    order_id: str
    account: str
    cents: int


class Settled(vg.Event):
    order_id: str
    how: str


class TimeIsUp(vg.Event):
    order_id: str


class Case(BaseModel):
    account: str = ""


def checkout(after: str) -> vg.Service:
    """A process that takes money from accounts of the bank, and gives up in time."""
    service = vg.Service("checkout")
    orders = service.topic("order", Order, key="order_id", partitions=2)
    settled = service.topic("settled", Settled, key="order_id")
    money = service.topic("account-command", Deposit | Withdraw, key="account", partitions=2)

    def react(event: Any, case: Case) -> Iterator[Any]:
        match event:
            case Order(order_id=order, account=account, cents=cents):
                case.account = account
                yield vg.After(after, TimeIsUp(order_id=order))
                if cents:
                    yield Withdraw(account=account, cents=cents)
                else:
                    yield vg.Cancel(TimeIsUp)
            case TimeIsUp(order_id=order):
                yield Settled(order_id=order, how="time is up")
                yield vg.Done()
            case vg.Refusal(command=Withdraw(account=account), reason=reason):
                yield Settled(order_id=account, how=f"{reason.code}, left {reason.data['left']}")
                yield vg.Done()

    service.process(
        "checkout",
        Case,
        on={orders: "order_id"},
        react=react,
        sends=[money, settled],
        timers=TimeIsUp,
        refusals=Withdraw,
    )
    return service


def settlements(hub: Any, service: vg.Service) -> Callable[[], list[tuple[str, str]]]:
    client = vg.Client(service, hub)
    return lambda: (
        sorted(client.read("settled").select("order_id", "how").rows())
        if "settled" in hub.topics()
        else []
    )


def test_a_process_of_one_service_is_told_what_another_refuses(under_test: HubUnderTest) -> None:
    accounts, service = bank.bank(partitions=2), checkout("1h")
    hub = under_test.connect()
    with at_work(under_test, accounts), at_work(under_test, service):
        found = settlements(hub, service)
        with accounts.connect(hub) as client:
            client.call(Deposit(account="rich", cents=100), timeout_s=WAIT_S)
        orders = [
            Order(order_id="o1", account="rich", cents=60),
            Order(order_id="o2", account="rich", cents=60),
            Order(order_id="o3", account="poor", cents=1),
        ]
        vg.Client(service, hub).send("order", orders)
        eventually(
            lambda: found() == [("poor", "too-little, left 0"), ("rich", "too-little, left 40")],
            "both refusals are told",
        )
        cases = instances(hub, HubRegistry(hub), service.processes["checkout"])
        assert len(cases) == 1
    assert list(dead_letters(hub, "checkout")) == []


def test_timers_survive_a_restart_and_can_be_cancelled(under_test: HubUnderTest) -> None:
    service, hub = checkout("1s"), under_test.connect()
    kept = service.processes["checkout"]
    with vg.Client(service, hub) as client:
        client.send(
            "order",
            [
                Order(order_id="fires", account="a", cents=1),
                Order(order_id="cancelled", account="a", cents=0),
            ],
        )
    with at_work(under_test, service):

        def heard() -> bool:
            topics = hub.topics()
            return kept.state_topic.name in topics and (
                len(instances(hub, HubRegistry(hub), kept)) == 2
                or bool(settlements(hub, service)())
            )

        eventually(heard, "the orders are heard of")
    found = settlements(hub, service)
    with at_work(under_test, service):
        eventually(lambda: found() == [("fires", "time is up")], "the timer fires")
        (left,) = instances(hub, HubRegistry(hub), kept, stuck_for="0s")
        assert (left.key, left.next_timer) == ("cancelled", None)


def test_handlers_are_called_with_a_key_and_what_fails_is_a_dead_letter(
    under_test: HubUnderTest,
) -> None:
    service, hub = bank.bank(), under_test.connect()
    calls: list[tuple[int, str]] = []
    broken = [True]

    @service.on(service.aggregates["account"].events, in_order=True)
    def mail(event: Any, call: vg.Call) -> None:
        calls.append((event.cents, call.idempotency_key))
        if broken[0] and event.cents == 2:
            raise ConnectionError("no mail today")

    with at_work(under_test, service), service.connect(hub) as client:
        for command in deposits(3):
            client.call(command, timeout_s=WAIT_S)
        letters = lambda: list(dead_letters(hub, "bank"))  # noqa: E731
        eventually(lambda: len(letters()) == 2, "the second fails, and the third waits")
        broken[0] = False
        before = len(calls)
        replay(hub, "bank", letters())
        eventually(lambda: len(calls) >= before + 2, "both are handed over again")
        assert [cents for cents, _ in calls[before:]] == [2, 3]
        second = {key for cents, key in calls if cents == 2}
        assert len(second) == 1


def test_a_trace_goes_from_a_command_to_what_another_service_makes_of_it(
    under_test: HubUnderTest,
) -> None:
    def heard(row: Any) -> Settled:
        return Settled(order_id=row.account, how="heard")

    accounts, hub = bank.bank(), under_test.connect()
    other = vg.Service("other")
    events = other.topic("account-event", Deposited | Withdrawn, key="account")
    events.map_events(heard).to("settled")
    with at_work(under_test, accounts), at_work(under_test, other):
        with accounts.connect(hub) as client:
            outcome = client.call(Deposit(account="a", cents=1), timeout_s=WAIT_S)

        def types() -> list[str | None]:
            found = trace(hub, outcome.command_id, HubRegistry(hub))
            return [event.type for _, event, _ in found]

        eventually(lambda: types() == ["Deposit", "Deposited", "Settled"], "all is traced")


# Personal data


class Register(vg.Command):
    customer_id: int
    email: Annotated[str | None, vg.Personal("customer_id")] = None


class Registered(vg.Event):
    customer_id: int
    email: Annotated[str | None, vg.Personal("customer_id")] = None


class Customer(BaseModel):
    customer_id: int | None = None
    email: Annotated[str | None, vg.Personal("customer_id")] = None


class CustomerRow(vg.Row):
    customer_id: int
    email: Annotated[str | None, vg.Personal("customer_id")] = None


def test_who_is_forgotten_is_erased_from_topics_and_views(under_test: HubUnderTest) -> None:
    service, hub = vg.Service("people"), under_test.connect()
    people = service.aggregate(
        "customer",
        key="customer_id",
        commands=Register,
        events=Registered,
        decider=vg.Decider(
            initial=Customer,
            decide=lambda command, state: Registered(**command.model_dump()),
            evolve=lambda state, event: Customer(**event.model_dump()),
        ),
    )

    @service.view("customers", CustomerRow, key="customer_id", of=people)
    def customers(event: Any, rows: Any) -> None:
        rows.put(CustomerRow(customer_id=event.customer_id, email=event.email))

    with (
        at_work(under_test, service),
        service.connect(hub) as client,
        Queries(service, hub) as queries,
    ):
        queries.follow()
        view = queries["customers"]
        for number, name in ((1, "ada"), (2, "bob")):
            command = Register(customer_id=number, email=f"{name}@example.com")
            token = client.call(command, timeout_s=WAIT_S).token
            assert view.get(number, token=token, wait_s=WAIT_S).email == f"{name}@example.com"
        assert b"example.com" not in everything(hub)
        events = vg.Client(service, hub)
        events.forget(1)
        eventually(lambda: view.get(1).email is None, "the view forgets")
        assert view.get(2).email == "bob@example.com"
        assert events.read("customer-event")["email"].to_list() == [None, "bob@example.com"]


# The gateway


def test_the_gateway_takes_commands_and_answers_queries(under_test: HubUnderTest) -> None:
    service = bank.bank(partitions=2)
    balances(service)
    with (
        at_work(under_test, service),
        Gateway([service], under_test.connect(), address=("127.0.0.1", 0)) as gateway,
        httpx.Client(base_url=gateway.url, timeout=WAIT_S) as http,
    ):
        said = http.post("/commands/deposit?timeout_s=60", json={"account": "a", "cents": 5})
        assert said.status_code == 200, said.text
        asked = {"token": said.json()["token"], "wait_s": 60}
        assert http.get("/queries/balance/a", params=asked).json()["cents"] == 5
        key = {"Idempotency-Key": "k"}
        for _ in range(2):
            again = http.post("/commands/deposit", json={"account": "a", "cents": 6}, headers=key)
            assert again.json()["version"] == 2
        refused = http.post("/commands/withdraw", json={"account": "a", "cents": 12})
        assert (refused.status_code, refused.json()["code"]) == (409, "too-little")
        with http.stream("GET", "/queries/balance/stream?since=") as stream:
            lines = stream.iter_lines()
            assert any('"account":"a"' in line.replace(" ", "") for line in lines)
