"""The keys of persons, kept in the hub itself.

Keys are records of the compacted topic `_vagus-personal-keys`, of one partition: a person's id,
and the key. A key is made when the first event with personal data of a person is written; the
topic is a `Ledger`, so that a person gets one key, however many processes write. Forgetting a
person is a deletion in that topic.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from threading import RLock
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, proxy

from vagus.errors import DecodeError, UnknownTopic
from vagus.events.cipher import PersonKey
from vagus.events.encrypting import Encrypting
from vagus.hub.ledger import Entry, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from vagus.hub.contract import Hub

__all__ = ["PERSONAL_KEYS_TOPIC", "PersonKeys", "PersonSession"]

PERSONAL_KEYS_TOPIC = "_vagus-personal-keys"
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
        self._hub: Hub = proxy(hub)  # which holds this, through `of`
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

            def missing() -> list[Entry]:
                return [
                    (person.encode(), _value(PersonKey.new(person)))
                    for person in persons
                    if person not in self._by_person
                    and (since is None or self._gone.get(person, 0) <= since)
                ]

            if missing():
                self._ledger.change(missing)
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
            known = self._ledger.change(
                lambda: [(person.encode(), None)] if person in self._by_person else []
            )
            # Also where there was none: the process that deleted it may have died before this.
            self._hub.wipe(PERSONAL_KEYS_TOPIC)
            return bool(known)

    def with_ids(self, ids: Collection[bytes]) -> dict[bytes, PersonKey]:
        """The keys of these ids that are still there."""
        with self._lock:
            self._look()
            if not all(each in self._by_id for each in ids):
                self._look(now=True)
            return {each: self._by_id[each] for each in ids if each in self._by_id}

    # The topic

    def _begin_anew(self) -> None:
        self._ledger = Ledger(self._hub, PERSONAL_KEYS_TOPIC, "vagus-personal-keys", self._apply)
        self._looked_s: float | None = None
        self._by_person: dict[str, PersonKey] = {}
        self._by_id: dict[bytes, PersonKey] = {}
        self._gone: dict[str, int] = {}  # the forgotten, each with how many there were then

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
        try:
            self._ledger.read()
        except UnknownTopic:
            self._begin_anew()
        else:
            self._looked_s = moment_s

    def _apply(self, name: bytes, value: bytes | None) -> None:
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
