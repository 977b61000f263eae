"""The same command twice has one effect, and gets the same answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.bank import Deposit, Withdraw, bank
from vagus.services import CommandFailed, KeyReused
from vagus.testing import Harness


@pytest.fixture
def h() -> Iterator[Harness]:
    with Harness(bank()) as harness:
        yield harness


def test_the_second_time_the_answer_is_that_of_the_first(h: Harness) -> None:
    first = h.send(Deposit(account="a", cents=5, note="twice"), idempotency_key="k")
    h.send(Deposit(account="a", cents=1))
    second = h.send(Deposit(account="a", cents=5, note="twice"), idempotency_key="k")
    assert (second.events, second.version) == (first.events, first.version)
    assert h.read("account-event").height == 3


def test_it_may_come_again_in_the_same_batch(h: Harness) -> None:
    command = Deposit(account="a", cents=5)
    requests = [h.ask(command, idempotency_key=key) for key in ("k", "k", "other", "k")]
    h.run()
    outcomes = [h.desk.outcome(request) for request in requests]
    assert [outcome.version for outcome in outcomes] == [1, 1, 2, 1]
    assert outcomes[0].events == outcomes[1].events == outcomes[3].events
    assert h.read("account-event").height == 2


def test_it_may_come_again_after_a_restart(h: Harness) -> None:
    first = h.send(Deposit(account="a", cents=5), idempotency_key="k")
    h.restart()
    again = h.send(Deposit(account="a", cents=5), idempotency_key="k")
    assert again.events == first.events
    assert h.read("account-event").height == 1


def test_a_refusal_is_remembered_too(h: Harness) -> None:
    assert not h.send(Withdraw(account="a", cents=5), idempotency_key="k").accepted
    h.send(Deposit(account="a", cents=5))
    again = h.send(Withdraw(account="a", cents=5), idempotency_key="k")
    assert again.refused is not None
    assert again.refused.code == "too-little"
    h.restart()
    assert not h.send(Withdraw(account="a", cents=5), idempotency_key="k").accepted


def test_a_failure_is_not_remembered(h: Harness) -> None:
    for _ in range(2):
        with pytest.raises(CommandFailed):
            h.send(Deposit(account="a", cents=5, note="fail"), idempotency_key="k")
    assert len(h.dead_letters) == 2


@pytest.mark.parametrize(
    "other",
    [
        Deposit(account="a", cents=6),
        Deposit(account="b", cents=5),
        Withdraw(account="a", cents=5),
    ],
)
def test_the_key_of_another_command_is_refused(h: Harness, other: Deposit | Withdraw) -> None:
    h.send(Deposit(account="a", cents=5), idempotency_key="k")
    assert isinstance(h.send(other, idempotency_key="k").refused, KeyReused)
    h.restart()
    assert isinstance(h.send(other, idempotency_key="k").refused, KeyReused)
    assert h.read("account-event").height == 1


def test_answers_are_kept_for_a_set_time() -> None:
    with Harness(bank(answers_kept="1h")) as h:
        h.send(Deposit(account="a", cents=5), idempotency_key="k")
        h.advance("30m")
        assert h.send(Deposit(account="a", cents=5), idempotency_key="k").version == 1
        h.advance("31m")
        assert h.send(Deposit(account="a", cents=5), idempotency_key="k").version == 2


@pytest.mark.parametrize("point", ["read", "processed", "written", "committed"])
def test_a_crash_at_any_point_changes_nothing_of_it(h: Harness, point: str) -> None:
    h.crash_at(point)  # type: ignore[arg-type]
    first = h.send(Deposit(account="a", cents=5), idempotency_key="k")
    h.crash_at(point)  # type: ignore[arg-type]
    again = h.send(Deposit(account="a", cents=5), idempotency_key="k")
    assert first.version == again.version == 1
    assert first.events == again.events
    assert all(len(replies) == 1 for replies in h.desk.replies().values())
