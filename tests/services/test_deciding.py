"""Commands are decided, each after the ones before it of the same aggregate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

import vagus as vg
from tests.services.bank import Account, Deposit, Deposited, Withdraw, Withdrawn, bank, evolve
from vagus.hub import Records, TopicPartition
from vagus.services import CommandFailed, Conflict, Expired
from vagus.testing import Harness


@pytest.fixture
def h() -> Iterator[Harness]:
    with Harness(bank()) as harness:
        yield harness


def test_an_accepted_command_says_where_its_events_lie(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5))
    outcome = h.send(Deposit(account="a", cents=5, note="twice"))
    assert outcome.accepted
    assert [(e.type, e.topic, e.partition, e.offset) for e in outcome.events] == [
        ("Deposited", "account-event", 0, 1),
        ("Deposited", "account-event", 0, 2),
    ]
    assert outcome.version == 3
    assert outcome.token.positions == {TopicPartition("account-event", 0): 3}


def test_events_are_in_the_event_topic_with_the_aggregates_key(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5))
    h.send(Withdraw(account="a", cents=2))
    rows = h.read("account-event").select("_key", "_type", "cents", "left").rows()
    assert rows == [("a", "Deposited", 5, None), ("a", "Withdrawn", 2, 3)]


def test_events_carry_the_correlation_and_causation_of_their_command(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5), metadata=vg.Metadata("c-1", "work-7"))
    with h.hub.reader({TopicPartition("account-event", 0): 0}) as reader:
        (read,) = reader.read()
    assert read.headers is not None
    found = vg.Metadata.from_headers(read.headers[0])
    assert (found.causation_id, found.correlation_id) == ("c-1", "work-7")


def test_a_refusal_tells_code_message_and_data_and_changes_nothing(h: Harness) -> None:
    outcome = h.send(Deposit(account="a", cents=0))
    assert not outcome.accepted
    assert outcome.refused is not None
    assert outcome.refused.code == "not-positive"
    assert outcome.refused.reason == "an amount is above zero"
    assert outcome.refused.data == {"cents": 0}
    assert h.read("account-event").height == 0


def test_a_refusal_can_be_raised_from_an_outcome(h: Harness) -> None:
    with pytest.raises(vg.Refused, match="not-positive"):
        h.send(Deposit(account="a", cents=0)).check()


def test_a_command_sees_the_earlier_ones_of_the_same_batch(h: Harness) -> None:
    requests = [
        h.ask(command)
        for command in (
            Deposit(account="a", cents=5),
            Deposit(account="b", cents=1),
            Withdraw(account="a", cents=5),
            Withdraw(account="a", cents=1),
        )
    ]
    h.run()
    outcomes = [h.desk.outcome(request) for request in requests]
    assert [outcome.status for outcome in outcomes] == ["accepted"] * 3 + ["refused"]
    assert [outcome.version for outcome in outcomes] == [1, 1, 2, None]
    assert [outcome.events[0].offset for outcome in outcomes[:3]] == [0, 1, 2]


def test_a_command_with_another_version_than_expected_is_a_conflict(h: Harness) -> None:
    assert h.send(Deposit(account="a", cents=5), expected_version=0).version == 1
    refused = h.send(Deposit(account="a", cents=5), expected_version=0).refused
    assert isinstance(refused, Conflict)
    assert (refused.expected, refused.actual) == (0, 1)
    assert h.send(Deposit(account="a", cents=5), expected_version=1).version == 2


def test_versions_count_the_earlier_commands_of_the_same_batch(h: Harness) -> None:
    requests = [h.ask(Deposit(account="a", cents=5), expected_version=0) for _ in range(2)]
    h.run()
    first, second = (h.desk.outcome(request) for request in requests)
    assert first.accepted
    assert isinstance(second.refused, Conflict)


def test_a_command_whose_time_is_up_is_not_decided(h: Harness) -> None:
    request = h.ask(Deposit(account="a", cents=5), expires_s=60)
    h.advance("1m")
    assert isinstance(h.desk.outcome(request).refused, Expired)
    assert h.read("account-event").height == 0


def test_a_command_that_fails_becomes_a_dead_letter_and_its_sender_is_told(h: Harness) -> None:
    requests = [h.ask(Deposit(account="a", cents=5, note=note)) for note in ("", "fail", "")]
    h.run()
    assert h.desk.outcome(requests[0]).version == 1
    with pytest.raises(CommandFailed, match="ZeroDivisionError: as asked"):
        h.desk.outcome(requests[1])
    assert h.desk.outcome(requests[2]).version == 2
    (letter,) = h.dead_letters
    assert (letter.step, letter.topic, letter.error) == (
        "account.decide",
        "account-command",
        "ZeroDivisionError: as asked",
    )


def test_a_dead_letter_can_be_replayed_once_the_service_is_mended() -> None:
    broken = True

    def decide(command: Deposit, state: Account) -> list[vg.Event]:
        if broken:
            raise ZeroDivisionError
        return [Deposited(account=command.account, cents=command.cents)]

    with Harness(bank(decider=vg.Decider(initial=Account, decide=decide, evolve=evolve))) as h:
        with pytest.raises(CommandFailed):
            h.send(Deposit(account="a", cents=5))
        broken = False
        h.replay(*h.dead_letters)
        assert h.send(Deposit(account="a", cents=6)).version == 2


def _bank_with(decide: Any = None, evolve: Any = evolve, initial: Any = Account) -> vg.Service:
    def plainly(command: Deposit, state: Any) -> list[vg.Event]:
        return [Deposited(account=command.account, cents=command.cents)]

    return bank(decider=vg.Decider(initial=initial, decide=decide or plainly, evolve=evolve))


class Foreign(vg.Event):
    account: str


@pytest.mark.parametrize(
    ("decide", "error"),
    [
        (lambda command, state: [Foreign(account="a")], "to give Deposited or Withdrawn, got For"),
        (lambda command, state: [Deposited(account="b", cents=1)], "account='a', that of the comm"),
        (lambda command, state: "nonsense", "to give Deposited or Withdrawn, got str"),
        (lambda command, state: 7, "to give Deposited or Withdrawn, got int"),
        (lambda command, state: [Deposited(account="a", cents=1 << 70)], "values that fit Int64"),
    ],
)
def test_a_command_whose_events_cannot_be_written_has_no_effect_at_all(
    decide: Any, error: str
) -> None:
    def first(command: Deposit, state: Account) -> Any:
        if command.note != "bad":
            return [Deposited(account=command.account, cents=command.cents)]
        return decide(command, state)

    with Harness(_bank_with(first)) as h:
        notes = ["", "bad", ""]
        requests = [h.ask(Deposit(account="a", cents=5, note=note)) for note in notes]
        h.run()
        assert [h.desk.outcome(requests[n]).version for n in (0, 2)] == [1, 2]
        with pytest.raises(CommandFailed, match=error):
            h.desk.outcome(requests[1])
        assert h.read("account-event")["cents"].to_list() == [5, 5]


def test_a_command_whose_state_cannot_be_written_has_no_effect_at_all() -> None:
    class Odd(BaseModel):
        cents: int = 0

    def spoil(state: Odd, event: Deposited) -> Odd:
        if event.cents == 13:
            return state.model_copy(update={"cents": "thirteen"})
        return Odd(cents=state.cents + event.cents)

    with Harness(_bank_with(evolve=spoil, initial=Odd)) as h:
        requests = [h.ask(Deposit(account="a", cents=cents)) for cents in (5, 13, 6)]
        h.run()
        with pytest.raises(CommandFailed, match="PydanticSerializationError"):
            h.desk.outcome(requests[1])
        assert h.read("account-event")["cents"].to_list() == [5, 6]


def test_a_command_whose_evolve_raises_has_no_effect_at_all() -> None:
    def fail(state: Account, event: Deposited) -> Account:
        if event.cents == 13:
            raise ZeroDivisionError
        return evolve(state, event)

    with Harness(_bank_with(evolve=fail)) as h:
        with pytest.raises(CommandFailed, match="ZeroDivisionError"):
            h.send(Deposit(account="a", cents=13))
        assert h.send(Deposit(account="a", cents=5)).version == 1


def test_a_refusal_whose_data_cannot_be_written_is_a_failure() -> None:
    def decide(command: Deposit, state: Account) -> None:
        raise vg.Refused("odd", thing=object())

    with Harness(_bank_with(decide)) as h, pytest.raises(CommandFailed, match="Serialization"):
        h.send(Deposit(account="a", cents=13))


@pytest.mark.parametrize("give", ["raise", "return", "yield"])
def test_a_refusal_may_be_raised_returned_or_yielded(give: str) -> None:
    def yielding(command: Deposit, state: Account) -> Iterator[Any]:
        yield Deposited(account=command.account, cents=command.cents)
        yield vg.Refused("no")

    def decide(command: Deposit, state: Account) -> Any:
        if give == "raise":
            raise vg.Refused("no")
        return vg.Refused("no") if give == "return" else yielding(command, state)

    with Harness(_bank_with(decide)) as h:
        refused = h.send(Deposit(account="a", cents=13)).refused
        assert refused is not None
        assert refused.code == "no"
        assert h.read("account-event").height == 0


def test_a_command_may_be_accepted_without_events() -> None:
    with Harness(_bank_with(lambda command, state: None)) as h:
        outcome = h.send(Deposit(account="a", cents=13))
        assert (outcome.accepted, outcome.events, outcome.version) == (True, (), 0)


def test_a_single_event_need_not_be_in_a_list() -> None:
    with Harness(
        _bank_with(lambda command, state: Deposited(account=command.account, cents=1))
    ) as h:
        assert h.send(Deposit(account="a", cents=13)).version == 1


def test_commands_of_other_programs_need_no_headers(h: Harness) -> None:
    h.client.send("account-command", Deposit(account="a", cents=5))
    h.run()
    assert h.read("account-event").height == 1


def test_a_command_whose_headers_make_no_sense_fails(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5))
    place = TopicPartition("account-command", 0)
    with h.hub.reader({place: 0}) as reader:
        (read,) = reader.read()
    odd = [(("vagus-expected-version", b"soon"),), (("vagus-reply-to", b"99/r"),)]
    for headers in odd:
        h.hub.append([(place, Records(read.keys, read.values, read.timestamps, [headers]))])
    h.run()
    assert [letter.error[:10] for letter in h.dead_letters] == ["ValueError"] * 2
    assert h.read("account-event").height == 1


def test_a_deletion_in_the_topic_of_commands_fails(h: Harness) -> None:
    h.client.delete("account-command", "a")
    h.run()
    (letter,) = h.dead_letters
    assert "expected a command with a key" in letter.error


def test_a_command_in_the_wrong_partition_fails() -> None:
    with Harness(bank(partitions=4)) as h:
        outcome = h.send(Deposit(account="a", cents=5))
        here = outcome.events[0].partition
        with h.hub.reader({TopicPartition("account-command", here): 0}) as reader:
            (read,) = reader.read()
        elsewhere = TopicPartition("account-command", (here + 1) % 4)
        h.hub.append([(elsewhere, Records(read.keys, read.values, read.timestamps))])
        h.run()
        (letter,) = h.dead_letters
        assert "in the partition that the key belongs to" in letter.error
        assert h.read("account-event").height == 1


def test_commands_go_to_the_partition_of_their_key() -> None:
    with Harness(bank(partitions=4)) as h:
        requests = [h.ask(Deposit(account=f"a{n}", cents=n + 1)) for n in range(20)]
        h.run()
        places = [h.desk.outcome(request).events[0] for request in requests]
        events = h.read("account-event", offsets=True)
        for number, place in enumerate(places):
            row = events.filter(_key=f"a{number}").row(0, named=True)
            assert (row["_partition"], row["_offset"]) == (place.partition, place.offset)
        assert len({place.partition for place in places}) == 4


def test_a_new_worker_goes_on_with_the_states_of_the_last_one(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5))
    h.restart()
    outcome = h.send(Withdraw(account="a", cents=5))
    assert outcome.version == 2
    assert h.read("account-event").row(1, named=True)["left"] == 0


def test_a_stored_state_that_cannot_be_read_fails_its_commands_only() -> None:
    class Newer(BaseModel):
        movements: str

    with Harness(bank()) as h:
        h.send(Deposit(account="a", cents=5))
        h.restart()
        h.app = _bank_with(evolve=lambda state, event: state, initial=lambda: Newer(movements=""))
        with pytest.raises(CommandFailed, match="expected a stored state that Newer can read"):
            h.send(Deposit(account="a", cents=5))
        assert h.send(Deposit(account="b", cents=5)).version == 1


def test_a_crash_between_state_and_events_is_not_possible(h: Harness) -> None:
    for point in ("processed", "written", "committed"):
        h.crash_at(point)
        assert h.send(Deposit(account="a", cents=5)).accepted
    assert h.read("account-event").height == 3
    assert h.send(Deposit(account="a", cents=5)).version == 4


def test_events_can_be_processed_further_by_the_same_service() -> None:
    service = bank()
    service.aggregates["account"].events.of(Withdrawn).to("withdrawals")
    with Harness(service) as h:
        h.send(Deposit(account="a", cents=5))
        h.send(Withdraw(account="a", cents=2))
        assert h.read("withdrawals")["cents"].to_list() == [2]


def test_accepted_and_refused_commands_are_counted(h: Harness) -> None:
    h.send(Deposit(account="a", cents=5))
    h.send(Deposit(account="a", cents=0))
    assert h.metrics.count("commands_accepted", "account") == 1
    assert h.metrics.count("commands_refused", "account") == 1


def test_a_description_shows_the_aggregates() -> None:
    assert "account.decide: decide account, from account-command" in str(bank().describe())


class Count(vg.Command):
    number: int


class Counted(vg.Event):
    number: int


def test_keys_may_be_whole_numbers() -> None:
    service = vg.Service("counting")
    service.aggregate(
        "number",
        key="number",
        commands=Count,
        events=Counted,
        decider=vg.Decider(
            initial=Account,
            decide=lambda command, state: Counted(number=command.number),
            evolve=lambda state, event: Account(cents=state.cents + 1),
        ),
        partitions=3,
    )
    with Harness(service) as h:
        for number in (-7, 0, 1 << 62):
            h.send(Count(number=number))
            h.restart()
            assert h.send(Count(number=number)).version == 2
        with pytest.raises(vg.errors.EncodeError, match="a whole number of 64 bits"):
            h.send(Count(number=1 << 64))


class Noted(vg.Event):
    account: str


@pytest.mark.parametrize(
    ("made", "wrong"),
    [
        (Noted(account="a"), "expected decide to give Deposited or Withdrawn, got Noted"),
        (Deposit(account="a", cents=1), "got Deposit"),
        (Deposited(account="b", cents=1), "expected account='a', that of the command, got 'b'"),
        ("Deposited", "got str"),
        (None, "got NoneType"),
    ],
    ids=str,
)
def test_events_of_other_topics_or_aggregates_are_refused(made: Any, wrong: str) -> None:
    """And nothing at all comes of such a command."""
    decider = vg.Decider(
        initial=Account,
        decide=lambda command, state: [Deposited(account="a", cents=1), made],
        evolve=evolve,
    )
    with Harness(bank(decider=decider)) as h:
        with pytest.raises(CommandFailed, match=wrong):
            h.send(Deposit(account="a", cents=5))
        assert h.read("account-event").height == 0
        (letter,) = h.dead_letters
        assert wrong in letter.error


def test_a_command_that_cannot_be_read_is_set_apart_and_the_others_are_decided() -> None:
    with Harness(bank()) as h:
        assert h.send(Deposit(account="a", cents=1)).version == 1
        place = TopicPartition("account-command", 0)
        h.hub.append([(place, Records.of([b"a"], [b"\0\0\0\0\x63nonsense"], [0]))])
        h.run()
        (letter,) = h.dead_letters
        assert letter.topic == "account-command"
        assert h.send(Deposit(account="a", cents=1)).version == 2
