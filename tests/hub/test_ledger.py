"""Of several that change a ledger at once, each decides on all that was decided before."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from tests.contract.hubs import PATIENCE_S, all_values, eventually
from vagus.errors import Fenced, HubError, HubUnavailable, UnknownTopic
from vagus.hub import Hub, Records, TopicConfig, TopicPartition, connect
from vagus.hub.ledger import Entry, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.kafka.cluster import Cluster
    from vagus.hub import Transaction

PLACE = TopicPartition("numbers", 0)
WRITERS, NUMBERS = 4, 12


class Numbers:
    """Gives names their numbers, each the next one that is free."""

    def __init__(self, hub: Hub) -> None:
        self.known: dict[str, int] = {}
        self.ledger = Ledger(hub, PLACE.topic, "numbers", self._apply)

    def give(self, name: str) -> list[Entry]:
        if name in self.known:
            return []
        return [(name.encode(), json.dumps(max(self.known.values(), default=0) + 1).encode())]

    def number(self, name: str) -> int:
        self.ledger.change(lambda: self.give(name))
        return self.known[name]

    def _apply(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self.known.pop(key.decode(), None)
        else:
            self.known[key.decode()] = json.loads(value)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with connect(":memory:") as opened:
        yield opened


@pytest.fixture
def cluster(kafka: Cluster) -> str:
    """The address of a cluster where nobody has given numbers."""
    url = f"kafka://{kafka.bootstrap}"
    with connect(url) as hub:
        if PLACE.topic in hub.topics():
            hub.delete_topic(PLACE.topic)
    return url


def _number_all(hub: Hub, names: list[str]) -> dict[str, int]:
    numbers = Numbers(hub)
    return {name: numbers.number(name) for name in names}


def _number_in_process(url: str, names: list[str]) -> dict[str, int]:
    with connect(url) as hub:
        return _number_all(hub, names)


def _check_agreed(found: list[dict[str, int]], hub: Hub, count: int) -> None:
    """All know the same, and each name was written once."""
    assert found[1:] == found[:-1]
    assert sorted(found[0].values()) == list(range(1, count + 1))
    assert len(all_values(hub, [PLACE])[PLACE]) == count


def test_threads_that_change_it_at_once_agree(hub: Hub) -> None:
    names = [f"n{number}" for number in range(NUMBERS)]
    orders = [names, names[::-1]] * (WRITERS // 2)
    with ThreadPoolExecutor(WRITERS) as pool:
        found = list(pool.map(lambda order: _number_all(hub, order), orders))
    _check_agreed(found, hub, NUMBERS)


def test_processes_that_change_it_at_once_agree(tmp_path: Path) -> None:
    path = str(tmp_path / "hub.db")
    names = [f"n{number}" for number in range(NUMBERS)]
    with get_context("spawn").Pool(3) as pool:
        found = pool.starmap(
            _number_in_process, [(path, names), (path, names[::-1]), (path, names)]
        )
    with connect(path) as hub:
        _check_agreed(found, hub, NUMBERS)


def test_threads_that_change_it_at_once_on_kafka_agree(cluster: str) -> None:
    names = [f"n{number}" for number in range(4)]
    with connect(cluster) as hub:
        with ThreadPoolExecutor(3) as pool:
            found = list(
                pool.map(lambda order: _number_all(hub, order), [names, names[::-1], names])
            )
        _check_agreed(found, hub, 4)


def test_processes_that_change_it_at_once_on_kafka_agree(cluster: str) -> None:
    names = [f"n{number}" for number in range(4)]
    with get_context("spawn").Pool(3) as pool:
        found = pool.starmap(
            _number_in_process, [(cluster, names), (cluster, names[::-1]), (cluster, names)]
        )
    with connect(cluster) as hub:
        _check_agreed(found, hub, 4)


def test_a_writer_that_was_killed_before_its_commit_holds_nobody_up_on_kafka(
    cluster: str,
) -> None:
    with connect(cluster) as dead, connect(cluster) as hub:
        Numbers(dead).number("a")
        left = dead.begin("numbers")
        left.append([(PLACE, Records.of([b"b"], [b"2"], [0]))])

        assert Numbers(hub).number("b") == 2
        with pytest.raises(Fenced):
            left.commit()


def test_a_writer_that_hangs_before_its_commit_holds_no_reader_up_on_kafka(cluster: str) -> None:
    with connect(cluster) as hanging, connect(cluster) as hub, ThreadPoolExecutor(1) as pool:
        Numbers(hanging).number("a")
        end = hub.offsets([PLACE], "latest")[PLACE]
        left = hanging.begin("numbers")
        left.append([(PLACE, Records.of([b"b"], [b"2"], [0]))])
        eventually(lambda: hub.offsets([PLACE], "latest")[PLACE] > end, "it was sent")

        numbers = Numbers(hub)
        pool.submit(numbers.ledger.read).result(PATIENCE_S)
        assert numbers.known == {"a": 1}
        with pytest.raises(Fenced):
            left.commit()


def test_the_topic_is_compacted_and_made_with_the_first_change(hub: Hub) -> None:
    numbers = Numbers(hub)
    with pytest.raises(UnknownTopic):
        numbers.ledger.read()
    numbers.number("a")
    assert hub.describe_topic(PLACE.topic).config == TopicConfig(cleanup="compact")


def test_a_topic_that_is_there_is_used(hub: Hub) -> None:
    hub.create_topic(PLACE.topic, TopicConfig(cleanup="compact", tombstone_retention_s=1.0))
    assert Numbers(hub).number("a") == 1


def test_a_second_reader_hears_of_changes_and_of_what_was_taken_back(hub: Hub) -> None:
    one, other = Numbers(hub), Numbers(hub)
    one.number("a")
    other.ledger.read()
    one.number("b")
    one.ledger.change(lambda: [(b"a", None)])
    other.ledger.read()
    assert other.known == {"b": 2}


def test_what_was_written_is_returned_and_nothing_where_nothing_was(hub: Hub) -> None:
    numbers = Numbers(hub)
    assert numbers.ledger.change(lambda: numbers.give("a")) == [(b"a", b"1")]
    assert numbers.ledger.change(lambda: numbers.give("a")) == []
    assert len(all_values(hub, [PLACE])[PLACE]) == 1


def test_what_the_decision_raises_is_raised_and_nothing_is_written(hub: Hub) -> None:
    numbers = Numbers(hub)
    numbers.number("a")

    def refuse() -> list[Entry]:
        raise HubError("not this one")

    with pytest.raises(HubError, match="not this one"):
        numbers.ledger.change(refuse)
    assert numbers.number("b") == 2
    assert len(all_values(hub, [PLACE])[PLACE]) == 2


def test_a_decision_that_somebody_forestalled_is_made_again_on_what_that_one_wrote(
    hub: Hub,
) -> None:
    slow, quick = Numbers(hub), Numbers(hub)
    quick.number("a")
    forestalled = threading.Event()

    def give() -> list[Entry]:
        entries = slow.give("c")
        if not forestalled.is_set():
            forestalled.set()
            quick.number("b")
        return entries

    assert slow.ledger.change(give) == [(b"c", b"3")]


class _Troubled:
    """A hub whose commits do first what they are given."""

    def __init__(self, hub: Hub, commit: Callable[[Callable[[], None]], None]) -> None:
        self._hub, self._commit = hub, commit

    def __getattr__(self, name: str) -> object:
        return getattr(self._hub, name)

    def begin(self, transactional_id: str) -> Transaction:
        transaction = self._hub.begin(transactional_id)
        commit = transaction.commit

        def instead(positions: Mapping[TopicPartition, int] | None = None) -> None:
            self._commit(lambda: commit(positions))

        transaction.commit = instead  # type: ignore[method-assign]
        return transaction


def _lost(commit: Callable[[], None]) -> None:
    raise HubUnavailable("nobody knows what came of it")


def _unheard(commit: Callable[[], None]) -> None:
    commit()
    raise HubUnavailable("nobody knows what came of it")


def _troubled(hub: Hub, outcomes: list[Callable[[Callable[[], None]], None]]) -> Hub:
    def commit(made: Callable[[], None]) -> None:
        if outcomes:
            outcomes.pop(0)(made)
        else:
            made()

    return cast("Hub", _Troubled(hub, commit))


@pytest.mark.parametrize("outcomes", [[_lost], [_unheard], [_lost, _unheard], [_lost] * 6])
def test_a_commit_with_an_unknown_outcome_is_looked_at_again(
    hub: Hub, outcomes: list[Callable[[Callable[[], None]], None]]
) -> None:
    numbers = Numbers(_troubled(hub, list(outcomes)))
    assert numbers.ledger.change(lambda: numbers.give("a")) == [(b"a", b"1")]
    assert numbers.known == {"a": 1}
    assert all_values(hub, [PLACE])[PLACE] == [b"1"]


def test_commits_that_always_fail_are_an_error(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vagus.hub.ledger._UNSURE_S", 0.0)
    with pytest.raises(HubUnavailable, match="nobody knows"):
        Numbers(_troubled(hub, [_lost] * 99)).number("a")
    assert all_values(hub, [PLACE])[PLACE] == []


def test_a_commit_that_is_refused_is_not_tried_again(hub: Hub) -> None:
    def refuse(commit: Callable[[], None]) -> None:
        raise HubError("not allowed")

    with pytest.raises(HubError, match="not allowed"):
        Numbers(_troubled(hub, [refuse])).number("a")


def test_who_cannot_begin_after_such_a_commit_tries_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(transactional_id: str) -> Transaction:
        monkeypatch.undo()
        raise HubUnavailable("nobody answers")

    def lost(commit: Callable[[], None]) -> None:
        monkeypatch.setattr(hub, "begin", refuse)
        raise HubUnavailable("nobody knows what came of it")

    assert Numbers(_troubled(hub, [lost])).number("a") == 1
    assert all_values(hub, [PLACE])[PLACE] == [b"1"]


def test_a_coordinator_that_stumbles_at_the_commit_is_asked_again_on_kafka(cluster: str) -> None:
    """The broker's "unknown error": its log of transactions refuses what is written to it."""
    client = {"bootstrap.servers": cluster.removeprefix("kafka://"), "log_level": 0}
    admin = AdminClient(client)
    stumbled: list[str] = []

    def limit(operation: AlterConfigOpType, nbytes: str = "1") -> None:
        entry = ConfigEntry("max.message.bytes", nbytes, incremental_operation=operation)
        log = ConfigResource(
            ConfigResource.Type.TOPIC, "__transaction_state", incremental_configs=[entry]
        )
        admin.incremental_alter_configs([log])[log].result(30)

    def is_refused() -> bool:
        writer = Producer(client | {"transactional.id": "another"})
        try:
            writer.init_transactions(2.0)
        except KafkaException as raised:
            return bool(raised.args[0].code() == KafkaError.UNKNOWN)
        return False

    def stumble(commit: Callable[[], None]) -> None:
        limit(AlterConfigOpType.SET)
        try:
            # The broker does what it is told a little later. A commit of which it writes down the
            # one half and not the other would hold up this writer for ever.
            eventually(is_refused, "it refuses")
            commit()
        except HubUnavailable as error:
            stumbled.append(str(error))
            raise
        finally:
            limit(AlterConfigOpType.DELETE)

    with connect(cluster) as hub:
        numbers = Numbers(_troubled(hub, [stumble]))
        assert [numbers.number(name) for name in "abc"] == [1, 2, 3]
        [told] = stumbled
        assert "Unknown broker error" in told
        _check_agreed([numbers.known], hub, 3)


def test_others_that_never_let_go_are_named_as_the_reason(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vagus.hub.ledger._TRIES", 3)
    numbers = Numbers(hub)

    def give() -> list[Entry]:
        hub.begin("numbers")
        return numbers.give("a")

    with pytest.raises(HubUnavailable, match="write to numbers within 3 tries, but others kept"):
        numbers.ledger.change(give)
