"""The keys of persons, kept in the hub itself.

Keys are records of the compacted topic `_vagus-personal-keys`, of one partition: a person's id,
and the key. A key is made when the first event with personal data of a person is written; as with
schemas, a transaction of one fixed id sees to it that a person gets one key, however many
processes write. Forgetting a person is a deletion in that topic.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import suppress
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, ref

from vagus.errors import (
    DecodeError,
    Fenced,
    HubUnavailable,
    TopicExists,
    UnknownTopic,
)
from vagus.events.cipher import PersonKey
from vagus.events.encrypting import Encrypting
from vagus.hub.contract import Hub, TopicConfig
from vagus.hub.records import Records, TopicPartition
from vagus.hub.schemas import pause_s

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.hub.records import FetchedRecords

__all__ = ["PERSONAL_KEYS_TOPIC", "PersonKeys", "PersonSession"]

PERSONAL_KEYS_TOPIC = "_vagus-personal-keys"
_PARTITION = TopicPartition(PERSONAL_KEYS_TOPIC, 0)
_WRITER = "vagus-personal-keys"
_TRIES = 200
_FRESH_S = 1.0  # for so long a key may be used after another process has forgotten it
_VERSION, _VALUE_BYTES = b"\x01", 49
_STALE_S = 12 * 3600.0  # half of what deletions stay readable: who slept longer reads all anew

_shared: WeakKeyDictionary[Hub, PersonKeys] = WeakKeyDictionary()
_sharing = RLock()


class PersonKeys(Encrypting):
    """Encrypts and decrypts the personal columns of frames. Safe to use from several threads.

    `PersonKeys.of(hub)` gives the one of an open hub, and does no I/O. Keys are kept in memory;
    of what other processes forget it hears within a second of use.
    """

    def __init__(self, hub: Hub, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ref = ref(hub)
        self._clock = clock
        self._lock = RLock()
        self._forgotten = 0
        self._begin_anew()

    @classmethod
    def of(cls, hub: Hub) -> PersonKeys:
        """The keys of a hub, the same ones for all in this process that have it open."""
        with _sharing:
            if hub not in _shared:
                _shared[hub] = cls(hub)
            return _shared[hub]

    def session(self) -> PersonSession:
        """The keys as somebody uses them who decrypts, and encrypts what comes of it."""
        return PersonSession(self, self._forgotten)

    @property
    def forgotten(self) -> int:
        """How many keys were seen to go; whoever holds decrypted values drops them as it grows."""
        with self._lock:
            self._look()
            return self._forgotten

    # Keys

    def keys_of(self, persons: Collection[str], since: int | None = None) -> dict[str, PersonKey]:
        """The keys of these persons; who has none gets one.

        Who was forgotten since `since` were (and has not come back) gets one that isn't kept.
        Raises HubUnavailable if other writers never let go.
        """
        with self._lock:
            self._look()

            def missing() -> list[tuple[bytes, bytes | None]]:
                return [
                    (person.encode(), _value(PersonKey.new(person)))
                    for person in persons
                    if person not in self._by_person
                    and (since is None or self._gone.get(person, 0) <= since)
                ]

            if missing():
                self._write(missing)
            return {
                person: self._by_person.get(person) or PersonKey.new(person) for person in persons
            }

    def knows(self, person: str) -> bool:
        """Whether there is a key of this person."""
        with self._lock:
            self._look(now=True)
            return person in self._by_person

    def forget(self, person: str) -> bool:
        """Delete a person's key, for good; whether there was one.

        On the embedded hub the key is gone from the file when this returns. On Kafka the topic's
        compaction removes it in time.
        """
        with self._lock:
            if PERSONAL_KEYS_TOPIC not in self._hub.topics():
                return False
            known = self._write(
                lambda: [(person.encode(), None)] if person in self._by_person else []
            )
            # Also where there was none: the process that deleted it may have died before this.
            self._hub.wipe(PERSONAL_KEYS_TOPIC)
            return known

    def with_ids(self, ids: Collection[bytes]) -> dict[bytes, PersonKey]:
        """The keys of these ids that are still there."""
        with self._lock:
            self._look()
            if not all(each in self._by_id for each in ids):
                self._look(now=True)
            return {each: self._by_id[each] for each in ids if each in self._by_id}

    # The topic

    @property
    def _hub(self) -> Hub:
        hub = self._ref()
        if hub is None:
            raise HubUnavailable("expected an open hub, got one that is gone")
        return hub

    def _begin_anew(self) -> None:
        self._next = 0
        self._looked_s: float | None = None
        self._by_person: dict[str, PersonKey] = {}
        self._by_id: dict[bytes, PersonKey] = {}
        self._gone: dict[str, int] = {}  # the forgotten, each with how many there were then

    def _write(self, decide: Callable[[], list[tuple[bytes, bytes | None]]]) -> bool:
        """Write what is decided on all that others wrote before; whether it was anything."""
        hub = self._hub
        for attempt in range(_TRIES):
            if not self._next:
                with suppress(TopicExists):
                    hub.create_topic(PERSONAL_KEYS_TOPIC, TopicConfig(cleanup="compact"))
            transaction = hub.begin(_WRITER)
            try:
                self._look(now=True)
                changes = decide()
                if not changes:
                    transaction.abort()
                    return False
                keys, values = zip(*changes, strict=True)
                stamps = [int(time.time() * 1000)] * len(changes)
                transaction.append([(_PARTITION, Records.of(keys, values, stamps))])
                transaction.commit()
            except Fenced:
                transaction.abort()
                time.sleep(pause_s(attempt))
                continue
            except BaseException:
                transaction.abort()
                raise
            self._look(now=True)
            return True
        raise HubUnavailable(
            f"expected to write to {PERSONAL_KEYS_TOPIC} within {_TRIES} tries, but others kept "
            "writing",
            where=hub.url,
            hint="try again",
        )

    def _look(self, *, now: bool = False) -> None:
        """Read on to the end of the topic, if that was not done just before."""
        moment_s = self._clock()
        if self._looked_s is not None:
            since_s = moment_s - self._looked_s
            if since_s > _STALE_S:
                self._forgotten += 1  # maybe
                self._begin_anew()
            elif since_s < _FRESH_S and not now:
                return
        hub = self._hub
        try:
            end = hub.offsets([_PARTITION], "latest")[_PARTITION]
        except UnknownTopic:
            self._begin_anew()
            return
        if self._next < end:
            with hub.reader({_PARTITION: self._next}) as reader:
                while self._next < end:
                    for read in reader.read(wait_s=1.0):
                        self._apply(read)
                    self._next = reader.positions()[_PARTITION]
        self._looked_s = moment_s

    def _apply(self, read: FetchedRecords) -> None:
        for name, value in zip(read.keys.to_list(), read.values.to_list(), strict=True):
            if name is None:
                continue
            person = name.decode(errors="replace")
            before = self._by_person.pop(person, None)
            if before is not None:
                del self._by_id[before.id]
            if value is None:
                self._forgotten += 1
                self._gone[person] = self._forgotten
            else:
                self._gone.pop(person, None)
                key = _key(person, value)
                self._by_person[person] = self._by_id[key.id] = key


class PersonSession(Encrypting):
    """Keys for one piece of work that decrypts, and encrypts what it made of that.

    A person who is forgotten meanwhile stays so: what the work still holds of that person is
    encrypted with a key that nobody keeps.
    """

    def __init__(self, keys: PersonKeys, forgotten: int) -> None:
        self._keys, self.since = keys, forgotten

    @property
    def forgotten(self) -> int:
        """See `PersonKeys.forgotten`."""
        return self._keys.forgotten

    def keys_of(self, persons: Collection[str]) -> dict[str, PersonKey]:
        """The keys of these persons; who has none gets one."""
        return self._keys.keys_of(persons, self.since)

    def with_ids(self, ids: Collection[bytes]) -> dict[bytes, PersonKey]:
        """The keys of these ids that are still there."""
        return self._keys.with_ids(ids)


def _value(key: PersonKey) -> bytes:
    return _VERSION + key.id + key.secret


def _key(person: str, value: bytes) -> PersonKey:
    if value[:1] != _VERSION or len(value) != _VALUE_BYTES:
        raise DecodeError(
            f"expected a person's key of {_VALUE_BYTES} bytes, got {len(value)} others",
            where=PERSONAL_KEYS_TOPIC,
            hint="was it written by a newer Vagus?",
        )
    return PersonKey(person, value[1:17], value[17:])
