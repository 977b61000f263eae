"""Random commands, batches, restarts and crashes, against a model that is slow and obvious."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.services.bank import Deposit, Withdraw, bank
from vagus.services import CommandFailed
from vagus.testing import Harness

ACCOUNTS = st.sampled_from(["a", "b", "c"])
COMMANDS = st.one_of(
    st.builds(
        Deposit,
        account=ACCOUNTS,
        cents=st.integers(0, 3),
        note=st.sampled_from(["", "", "fail", "twice"]),
    ),
    st.builds(Withdraw, account=ACCOUNTS, cents=st.integers(1, 4)),
)


@dataclass(frozen=True)
class Sent:
    """A command, and what is wanted of it."""

    command: Deposit | Withdraw
    key: str | None
    expected_version: int | None


SENT = st.builds(
    Sent,
    COMMANDS,
    st.sampled_from([None, None, "k1", "k2", "k3"]),
    st.sampled_from([None, None, None, 0, 1, 2]),
)
POINTS = st.sampled_from(["read", "processed", "written", "committed"])
BATCHES = st.lists(
    st.tuples(st.lists(SENT, min_size=1, max_size=6), st.lists(POINTS, max_size=2), st.booleans()),
    min_size=1,
    max_size=6,
)


@dataclass
class Model:
    """What a bank does, one command after another."""

    cents: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    events: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    answers: dict[str, tuple[Any, Any]] = field(default_factory=dict)

    def outcome(self, sent: Sent) -> Any:
        """The version after a command, the code of a refusal, or "failed"."""
        if sent.key is not None and sent.key in self.answers:
            command, answer = self.answers[sent.key]
            return answer if command == sent.command else "idempotency-key-reused"
        answer = self._decide(sent)
        if sent.key is not None and answer != "failed":
            self.answers[sent.key] = sent.command, answer
        return answer

    def _decide(self, sent: Sent) -> Any:
        command = sent.command
        version = self.versions.get(command.account, 0)
        if sent.expected_version not in (None, version):
            return "conflict"
        cents = self.cents.get(command.account, 0)
        events: list[tuple[Any, ...]]
        if isinstance(command, Deposit):
            if command.cents <= 0:
                return "not-positive"
            if command.note == "fail":
                return "failed"
            times = 2 if command.note == "twice" else 1
            events = [("Deposited", command.cents)] * times
            cents += times * command.cents
        else:
            cents -= command.cents
            if cents < 0:
                return "too-little"
            events = [("Withdrawn", command.cents)]
        self.cents[command.account] = cents
        self.versions[command.account] = version + len(events)
        self.events.setdefault(command.account, []).extend(events)
        return version + len(events)


def _answer(harness: Harness, request: str) -> Any:
    try:
        outcome = harness.desk.outcome(request)
    except CommandFailed:
        return "failed"
    return outcome.version if outcome.refused is None else outcome.refused.code


@settings(deadline=None, max_examples=60)
@given(batches=BATCHES)
def test_each_command_has_one_effect_and_one_answer(batches: Any) -> None:
    model = Model()
    with Harness(bank()) as harness:
        expected, requests = [], []
        for sent, crashes, restart in batches:
            harness.crash_at(*crashes)
            for one in sent:
                expected.append(model.outcome(one))
                requests.append(
                    harness.ask(
                        one.command,
                        idempotency_key=one.key,
                        expected_version=one.expected_version,
                    )
                )
            harness.run()
            if restart:
                harness.restart()
        assert [_answer(harness, request) for request in requests] == expected
        assert all(len(replies) == 1 for replies in harness.desk.replies().values())
        events = harness.read("account-event")
        for account in ("a", "b", "c"):
            found = events.filter(_key=account).select("_type", "cents").rows()
            assert found == model.events.get(account, [])
        assert len(harness.dead_letters) == expected.count("failed")
