"""Every person has one key; forgetting deletes it everywhere."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import vagus as vg
from tests.personal.people import ADA, BOB, Customer
from vagus.errors import VagusError
from vagus.events import RecordSchema
from vagus.hub import Hub, TopicPartition, connect
from vagus.hub.mirror.topics import chosen
from vagus.hub.personkeys import PERSONAL_KEYS_TOPIC, PersonKeys

MARKS = RecordSchema.of(Customer).marks


def _stored_in(path: Path, secret: bytes) -> list[str]:
    """The hub's files that hold a secret."""
    return [each.name for each in path.parent.glob("*") if secret in each.read_bytes()]


def _secret(hub: Hub, person: str) -> bytes:
    return PersonKeys.of(hub).keys_of([person])[person].secret


def test_a_forgotten_key_is_gone_from_the_file_and_its_log(tmp_path: Path) -> None:
    path = tmp_path / "vagus.db"
    with connect(str(path)) as hub:
        keys = PersonKeys.of(hub)
        for person in range(50):
            keys.keys_of([str(person)])
        secret = _secret(hub, "1")
        assert _stored_in(path, secret)

        assert keys.forget("1")

        assert _stored_in(path, secret) == []
        assert _stored_in(path, _secret(hub, "2"))
    assert _stored_in(path, secret) == []


def test_a_key_is_gone_also_where_upkeep_had_moved_it_before(tmp_path: Path) -> None:
    path = tmp_path / "vagus.db"
    with connect(str(path)) as hub:
        keys = PersonKeys.of(hub)
        for person in range(300):
            keys.keys_of([str(person)])
            if person % 100 == 99:
                hub.housekeep()  # type: ignore[attr-defined]
        secrets = {person: _secret(hub, person) for person in ("5", "150", "299")}

        for person in secrets:
            keys.forget(person)

        for secret in secrets.values():
            assert _stored_in(path, secret) == []


def test_a_key_made_again_by_nobody_stays_forgotten_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "vagus.db")
    with connect(path) as hub:
        keys = PersonKeys.of(hub)
        sealed = keys.seal(Customer.to_frame([ADA, BOB]), MARKS)
        keys.forget("1")
    with connect(path) as hub:
        opened = PersonKeys.of(hub).open(sealed, MARKS)
        assert opened["email"].to_list() == [None, "bob@example.com"]


def test_another_process_forgets_within_a_second(tmp_path: Path) -> None:
    path = str(tmp_path / "vagus.db")
    now_s = 0.0
    with connect(path) as one, connect(path) as other:
        here = PersonKeys.of(one)
        there = PersonKeys(other, clock=lambda: now_s)
        sealed = here.seal(Customer.to_frame([ADA]), MARKS)
        assert there.open(sealed, MARKS)["email"].to_list() == ["ada@example.com"]

        here.forget("1")
        now_s += 1.0

        assert there.open(sealed, MARKS)["email"].to_list() == [None]


def test_who_slept_longer_than_deletions_are_kept_still_forgets(tmp_path: Path) -> None:
    now_s = 0.0
    with connect(":memory:") as hub:
        there = PersonKeys(hub, clock=lambda: now_s)
        sealed = there.seal(Customer.to_frame([ADA]), MARKS)
        hub.delete_topic(PERSONAL_KEYS_TOPIC)  # as if the deletion had been compacted away
        now_s += 13 * 3600

        assert there.open(sealed, MARKS)["email"].to_list() == [None]


def test_writers_that_race_give_a_person_one_key(tmp_path: Path) -> None:
    path = str(tmp_path / "vagus.db")
    people = [str(person) for person in range(20)]
    found: list[dict[str, bytes]] = []

    def write() -> None:
        with connect(path) as hub:
            keys = PersonKeys.of(hub)
            made = {person: keys.keys_of([person])[person].secret for person in people}
            found.append(made)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(found) == 4
    assert all(made == found[0] for made in found)
    with connect(path) as hub, hub.reader({TopicPartition(PERSONAL_KEYS_TOPIC, 0): 0}) as reader:
        written = [key for read in reader.read() for key in read.keys.to_list()]
        assert sorted(written) == sorted(person.encode() for person in people)


def test_each_value_has_a_nonce_of_its_own() -> None:
    with connect(":memory:") as hub:
        sealed = PersonKeys.of(hub).seal(Customer.to_frame([ADA, ADA]), MARKS)
        assert sealed["email"].n_unique() == 2


def test_forgetting_on_a_hub_without_personal_data_creates_nothing() -> None:
    with connect(":memory:") as hub:
        assert not PersonKeys.of(hub).forget("1")
        assert hub.topics() == []


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    app = vg.App("shop")
    customers = app.topic("customer", Customer, key="customer_id")
    with (
        vg.Client(app, ":memory:") as client,
        pytest.raises(VagusError, match=r"pip install 'vagus\[personal\]'"),
    ):
        client.send(customers, ADA)


def test_what_was_decrypted_before_a_person_was_forgotten_is_not_kept_with_a_new_key() -> None:
    with connect(":memory:") as hub:
        keys = PersonKeys.of(hub)
        sealed = keys.seal(Customer.to_frame([ADA, BOB]), MARKS)
        session = keys.session()
        opened = session.open(sealed, MARKS)
        keys.forget("1")

        again = session.seal(opened, MARKS)

        assert keys.open(again, MARKS)["email"].to_list() == [None, "bob@example.com"]
        assert not keys.knows("1")


def test_a_session_gives_who_came_back_the_new_key() -> None:
    with connect(":memory:") as hub:
        PersonKeys.of(hub).keys_of(["1"])
        PersonKeys.of(hub).forget("1")
        PersonKeys.of(hub).keys_of(["1"])
        fresh = PersonKeys(hub)  # as after a restart
        sealed = fresh.session().seal(Customer.to_frame([ADA]), MARKS)

        assert fresh.open(sealed, MARKS)["email"].to_list() == ["ada@example.com"]


@pytest.mark.parametrize("pattern", ["*", "_*", "_vagus-personal-keys"])
def test_a_mirror_leaves_keys_out(pattern: str) -> None:
    assert PERSONAL_KEYS_TOPIC not in chosen([PERSONAL_KEYS_TOPIC, "customer"], pattern)
