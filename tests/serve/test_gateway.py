"""The gateway: commands and queries of several services at one address."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

import vagus as vg
from tests.contract.hubs import eventually
from vagus.errors import VagusError
from vagus.hub import TopicPartition
from vagus.runtime.runner import Runner
from vagus.serve.commands import command_path
from vagus.serve.gateway import Gateway
from vagus.serve.guard import Limits


class Open(vg.Command):
    """Open an account."""

    account: str


class Deposit(vg.Command):
    account: str
    cents: int


class Break(vg.Command):
    account: str


class Opened(vg.Event):
    account: str


class Deposited(vg.Event):
    account: str
    cents: int


class Account(BaseModel):
    cents: int | None = None


class Balance(vg.Row):
    account: str
    cents: int


def decide(command: Any, account: Account) -> Iterator[vg.Event]:
    match command:
        case Open():
            yield Opened(account=command.account)
        case Deposit(cents=cents):
            if cents <= 0:
                raise vg.Refused("not-positive", "at least a cent", least=1)
            yield Deposited(account=command.account, cents=cents)
        case Break():
            raise ZeroDivisionError("broken")


def evolve(account: Account, event: Any) -> Account:
    match event:
        case Deposited(cents=cents):
            return Account(cents=(account.cents or 0) + cents)
        case _:
            return Account(cents=0)


def bank() -> vg.Service:
    service = vg.Service("bank")
    accounts = service.aggregate(
        "account",
        key="account",
        commands=Open | Deposit | Break,
        events=Opened | Deposited,
        decider=vg.Decider(initial=Account, decide=decide, evolve=evolve),
    )

    @service.view("balance", Balance, key="account", of=accounts)
    def balance(event: Any, rows: Any) -> None:
        known = rows.get(event.account)
        before = 0 if known is None else known.cents
        rows.put(Balance(account=event.account, cents=before + getattr(event, "cents", 0)))

    return service


class Running:
    """A bank that works, and a gateway before it."""

    def __init__(self, limits: Limits | None = None, *, working: bool = True) -> None:
        self.hub = vg.connect(":memory:")
        self.service = bank()
        self.runner = Runner(self.service, self.hub)
        self.thread = threading.Thread(target=self.runner.run)
        if working:
            self.thread.start()
        self.gateway = Gateway(
            [self.service],
            self.hub,
            workers={"bank": (self.runner.metrics, self.runner.ready)},
            address=("127.0.0.1", 0),
            limits=limits,
        )
        self.http = httpx.Client(base_url=self.gateway.url, timeout=30)
        if working:
            eventually(lambda: self.http.get("/health/ready").status_code == 200, "it is ready")

    def close(self) -> None:
        self.http.close()
        self.gateway.close()
        if self.thread.is_alive():
            self.runner.stop()
            self.thread.join()
        self.hub.close()


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()


@pytest.fixture
def http(running: Running) -> httpx.Client:
    return running.http


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = response.json()
    assert said["type"] == f"urn:vagus:problem:{kind}"
    assert said["detail"]
    return said


@pytest.mark.parametrize(
    ("name", "path"),
    [("PlaceOrder", "place-order"), ("Pay", "pay"), ("ReadHTTPPage", "read-http-page")],
)
def test_a_command_has_an_address_of_its_name(name: str, path: str) -> None:
    assert command_path(name) == path


def test_a_command_is_answered_with_its_events_and_a_token(http: httpx.Client) -> None:
    said = http.post("/commands/open", json={"account": "a"}).json()
    assert said["status"] == "accepted"
    assert said["version"] == 1
    assert [event["type"] for event in said["events"]] == ["Opened"]
    assert said["token"]


def test_whoever_offers_http2_is_heard_like_others(http: httpx.Client) -> None:
    offer = {
        "connection": "Upgrade, HTTP2-Settings",
        "upgrade": "h2c",
        "http2-settings": "AAMAAABk",
    }
    answer = http.post("/commands/open", json={"account": "ada"}, headers=offer)
    assert answer.json()["status"] == "accepted"


def test_a_query_with_the_token_sees_the_effect(http: httpx.Client) -> None:
    for cents in (1, 2, 3):
        answer = http.post("/commands/deposit", json={"account": "seen", "cents": cents})
        found = http.get("/queries/balance/seen", params={"token": answer.json()["token"]})
    assert found.json() == {"account": "seen", "cents": 6}


def test_a_refusal_says_why(http: httpx.Client) -> None:
    answer = http.post("/commands/deposit", json={"account": "a", "cents": 0})
    said = problem(answer, 409, "refused")
    assert (said["code"], said["data"], said["detail"]) == (
        "not-positive",
        {"least": 1},
        "at least a cent",
    )


def test_the_same_idempotency_key_has_one_effect_and_one_answer(http: httpx.Client) -> None:
    send = {"json": {"account": "once", "cents": 5}, "headers": {"Idempotency-Key": "k1"}}
    first, second = (http.post("/commands/deposit", **send).json() for _ in range(2))
    assert first["events"] == second["events"]
    found = http.get("/queries/balance/once", params={"token": first["token"]})
    assert found.json()["cents"] == 5


def test_a_command_for_another_version_is_refused(http: httpx.Client) -> None:
    answer = http.post(
        "/commands/deposit",
        json={"account": "versioned", "cents": 5},
        headers={"Vagus-Expected-Version": "3"},
    )
    said = problem(answer, 409, "refused")
    assert said["code"] == "conflict"
    assert said["data"] == {"expected": 3, "actual": 0}


def test_whoever_does_not_wait_is_answered_once_it_is_stored(http: httpx.Client) -> None:
    answer = http.post("/commands/open?wait=false", json={"account": "later"})
    assert answer.status_code == 202
    assert answer.json()["status"] == "pending"
    eventually(lambda: http.get("/queries/balance/later").status_code == 200, "it is done")


def test_a_command_that_fails_says_so(http: httpx.Client) -> None:
    said = problem(http.post("/commands/break", json={"account": "a"}), 500, "command-failed")
    assert "broken" in said["detail"]
    assert "dead-letters" in said["hint"]


def test_an_unknown_command_is_told_the_nearest_name(http: httpx.Client) -> None:
    said = problem(http.post("/commands/deposits", json={}), 404, "unknown-command")
    assert said["hint"] == "did you mean 'deposit'?"


def test_wrong_fields_are_named(http: httpx.Client) -> None:
    answer = http.post("/commands/deposit", json={"account": "a", "cents": "many", "more": 1})
    said = problem(answer, 422, "wrong-command")
    assert [one["field"] for one in said["errors"]] == ["cents", "more"]


def test_what_is_not_json_is_refused(http: httpx.Client) -> None:
    send = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    problem(http.post("/commands/deposit", **send), 400, "not-json")


def test_a_form_is_refused(http: httpx.Client) -> None:
    problem(http.post("/commands/deposit", data={"account": "a"}), 415, "wrong-type")


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("wait=perhaps", {}),
        ("timeout_s=-1", {}),
        ("timeout_s=soon", {}),
        ("patience=3", {}),
        ("", {"Idempotency-Key": "k" * 201}),
        ("", {"Vagus-Expected-Version": "-1"}),
    ],
)
def test_wrong_parameters_are_refused(
    http: httpx.Client, query: str, headers: dict[str, str]
) -> None:
    answer = http.post(f"/commands/open?{query}", json={"account": "a"}, headers=headers)
    problem(answer, 422, "wrong-parameter")


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_refused(http: httpx.Client, declared: bool) -> None:
    body = b'{"account": "' + b"a" * (1 << 20) + b'"}'
    content: Any = body if declared else iter([body[:1000], body[1000:]])
    answer = http.post(
        "/commands/open", content=content, headers={"Content-Type": "application/json"}
    )
    problem(answer, 413, "too-large")


def test_the_answer_bears_the_requests_id(http: httpx.Client) -> None:
    answer = http.get("/commands", headers={"X-Request-ID": "r-17"})
    assert answer.headers["X-Request-ID"] == "r-17"
    assert http.get("/commands").headers["X-Request-ID"]


def test_the_requests_id_is_the_correlation_of_what_comes_of_it(
    http: httpx.Client, running: Running
) -> None:
    http.post("/commands/open", json={"account": "traced"}, headers={"X-Request-ID": "r-18"})
    with running.hub.reader({TopicPartition("account-event", 0): 0}) as reader:
        headers = [one for read in reader.read() for one in read.headers or ()]
    assert "r-18" in {vg.Metadata.from_headers(one).correlation_id for one in headers}


def test_one_page_describes_commands_and_queries(http: httpx.Client) -> None:
    said = http.get("/openapi.json").json()
    assert {"/commands/deposit", "/queries/balance"} <= set(said["paths"])
    assert set(said["components"]["schemas"]["Deposit"]["properties"]) == {"account", "cents"}
    body = said["paths"]["/commands/deposit"]["post"]["requestBody"]
    assert body["content"]["application/json"]["schema"]["$ref"].endswith("/Deposit")


def test_a_request_is_logged_as_json(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="vagus.http"):
        http.get("/commands", headers={"X-Request-ID": "r-19"})
        eventually(lambda: any("r-19" in one.message for one in caplog.records), "it is logged")
    line = next(one.message for one in caplog.records if "r-19" in one.message)
    assert '"status": 200' in line
    assert '"path": "/commands"' in line


def test_without_a_worker_the_answer_says_that_it_may_still_be_done() -> None:
    stopped = Running(working=False)
    try:
        answer = stopped.http.post("/commands/open?timeout_s=0.2", json={"account": "a"})
        said = problem(answer, 504, "timed-out")
        assert said["command_id"]
        assert "may still be done" in said["hint"]
    finally:
        stopped.close()


def test_more_than_the_limit_at_once_are_turned_away() -> None:
    gateway = Running(Limits(requests=1), working=False)
    try:
        answers: list[int] = []

        def ask() -> None:
            path = "/commands/open?timeout_s=60"
            done = gateway.http.post(path, json={"account": "a"}, timeout=60)
            answers.append(done.status_code)

        waiting = threading.Thread(target=ask)
        waiting.start()
        commands = TopicPartition("account-command", 0)

        def is_sent() -> bool:
            known = commands.topic in gateway.hub.topics()
            return known and gateway.hub.offsets([commands], "latest")[commands] == 1

        # Nobody decides it yet, so that its request goes on.
        eventually(is_sent, "the command is sent")
        turned = gateway.http.get("/commands")
        problem(turned, 429, "overloaded")
        assert turned.headers["Retry-After"] == "1"
        gateway.thread.start()
        waiting.join()
        assert answers == [200]
    finally:
        gateway.close()


def test_an_answer_that_takes_too_long_is_broken_off() -> None:
    stopped = Running(Limits(timeout_s=0.1), working=False)
    try:
        problem(stopped.http.post("/commands/open", json={"account": "a"}), 504, "timed-out")
    finally:
        stopped.close()


def test_two_services_of_one_name_are_refused() -> None:
    with vg.connect(":memory:") as hub, pytest.raises(VagusError, match="called 'bank'"):
        Gateway([bank(), bank()], hub, address=("127.0.0.1", 0))


def test_two_services_that_claim_a_topic_are_refused() -> None:
    other = vg.Service("other")
    other.aggregate(
        "account",
        key="account",
        commands=Open,
        events=Opened,
        decider=vg.Decider(initial=Account, decide=decide, evolve=evolve),
    )
    with vg.connect(":memory:") as hub, pytest.raises(VagusError, match="'account-command'"):
        Gateway([bank(), other], hub, address=("127.0.0.1", 0))


def test_two_services_that_take_commands_of_one_name_are_refused() -> None:
    other = vg.Service("other")
    other.aggregate(
        "till",
        key="account",
        commands=Open,
        events=Opened,
        decider=vg.Decider(initial=Account, decide=decide, evolve=evolve),
    )
    with vg.connect(":memory:") as hub, pytest.raises(VagusError, match="one service to take Open"):
        Gateway([bank(), other], hub, address=("127.0.0.1", 0))
