"""Topics and offsets, through Kafka's administrative requests."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeVar, cast

from confluent_kafka import OFFSET_INVALID, KafkaException, TopicCollection, admin
from confluent_kafka import TopicPartition as Place

from vagus.errors import HubError, HubUnavailable, TopicExists, UnknownTopic
from vagus.hub.contract import PartitionInfo, TopicConfig, TopicInfo
from vagus.hub.kafka import certificate, errors
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future

    from confluent_kafka import KafkaError
    from confluent_kafka.admin import AdminClient

    from vagus.hub.contract import At, Cleanup
    from vagus.hub.kafka.clients import Clients
    from vagus.hub.kafka.settings import KafkaSettings

T = TypeVar("T")

kafka: Any = admin  # its types don't export these names

PATIENCE_S = 9.0
"""How long one request may take, with all that the client tries by itself."""

NEVER_S = 3600.0
"""When the client may give up a request to a group's coordinator, see `Admin.ask_coordinator`."""

_TRY_S = 3.0
"""How long to wait for one broker where another may have become its successor."""


_KAFKAS_OWN = frozenset({"__consumer_offsets", "__transaction_state", "__share_group_state"})
# A leader that hangs has a successor soon, who hears of its high watermark a little later.
_NOT_YET = errors.UNKNOWN | {"_TIMED_OUT", "OFFSET_OUT_OF_RANGE"}
_FOR_EVER = "-1"
_ANY_TIME = str(2**63 - 1)
_TXN_OFFSET_COMMIT_MIN = 3  # the first that takes the group's metadata, of Kafka 2.5
_FUTURE = "message.timestamp.after.max.ms"


class Admin:
    """What there is in a cluster, and changes to it. Safe to use from several threads."""

    def __init__(self, clients: Clients, settings: KafkaSettings) -> None:
        self.where = settings.where
        self.client: AdminClient = clients.admin()
        self._clients, self._settings = clients, settings
        self._worries = clients.worries
        self._able = clients.able
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}  # partitions of topics, as last heard
        self._young: dict[str, float] = {}  # topics made of late, and how long to insist on them

    def check(self) -> None:
        """Wait for an answer. Raises HubUnavailable with the reason, within PATIENCE_S.

        A broker that is too old is refused before it does anything: it would not fence a worker
        that was replaced.
        """
        self._metadata()
        for address, requests in self._able.items():
            if requests.get("TxnOffsetCommit", -1) < _TXN_OFFSET_COMMIT_MIN:
                raise errors.too_old(
                    f"{address} can't commit a group's positions safely", self.where
                )

    def has(self, request: str) -> bool:
        """Whether the brokers take a kind of request, as far as is known of them."""
        return all(request in requests for requests in self._able.values())

    def cluster_id(self) -> str:
        """The id that the cluster was given when it was made."""
        return str(self._metadata().cluster_id)

    def _metadata(self) -> Any:
        deadline = time.monotonic() + PATIENCE_S - 3
        while True:
            try:
                found = self.client.list_topics(timeout=1.5)
            except KafkaException as error:
                self.client.poll(0)
                hopeless = self._worries.hopeless
                if hopeless is not None or time.monotonic() > deadline:
                    told = hopeless or self._worries.last or errors.reason(error)
                    refused = certificate.fault(
                        told.str() or "", self._settings.properties, self.where
                    )
                    raise (refused or errors.unavailable(told, self.where)) from None
                time.sleep(0.1)
                continue
            self.client.poll(0)
            self._worries.forget()
            with self._lock:
                self._counts = {
                    name: len(topic.partitions)
                    for name, topic in found.topics.items()
                    if topic.error is None and name not in _KAFKAS_OWN
                }
            return found

    # Topics

    def topics(self) -> dict[str, int]:
        """All topics, with their numbers of partitions."""
        self._metadata()
        with self._lock:
            return dict(self._counts)

    def count(self, topic: str, *, fresh: bool = False) -> int:
        """The number of a topic's partitions. Raises UnknownTopic."""
        with self._lock:
            known = self._counts.get(topic)
        if known is not None and not fresh:
            return known
        found = self.topics()
        while topic not in found and time.monotonic() < self._young.get(topic, 0.0):
            time.sleep(0.05)  # the broker that was asked has not heard of it yet
            found = self.topics()
        if topic not in found:
            self._check_seen(topic)
            raise UnknownTopic(topic, found, hub=self.where)
        return found[topic]

    def _check_seen(self, topic: str) -> None:
        """Raises HubError for a topic that is left out of the list because of who asks."""
        wanted = TopicCollection([topic])
        try:
            self.client.describe_topics(wanted, request_timeout=PATIENCE_S)[topic].result(
                PATIENCE_S
            )
        except KafkaException as error:
            if errors.reason(error).name() == "TOPIC_AUTHORIZATION_FAILED":
                raise errors.wrap(error, self.where, topic) from None

    def require(self, partitions: Iterable[TopicPartition]) -> None:
        """Raises UnknownTopic for a topic or partition that isn't there."""
        for topic, number in partitions:
            if 0 <= number < self.count(topic) or 0 <= number < self.count(topic, fresh=True):
                continue
            names = [f"{topic}[{each}]" for each in range(self.count(topic))]
            raise UnknownTopic(f"{topic}[{number}]", names, hub=self.where)

    def lack_of_replicas(self, partitions: Iterable[TopicPartition]) -> HubUnavailable | None:
        """The error to raise if one of these has too few replicas in sync to be written to."""
        topics = self._metadata().topics
        for topic, number in partitions:
            found = topics[topic].partitions.get(number) if topic in topics else None
            if found is None or len(found.isrs) == len(found.replicas):
                continue
            wanted = int(self.settings(topic).get("min.insync.replicas") or 1)
            if len(found.isrs) < wanted:
                return HubUnavailable(
                    f"nothing can be written: {len(found.isrs)} of {len(found.replicas)} replicas "
                    f"are in sync, and min.insync.replicas asks for {wanted}",
                    where=f"{topic}[{number}], {self.where}",
                    hint="start the brokers that are down, or lower min.insync.replicas of the "
                    "topic",
                )
        return None

    def create(self, name: str, config: TopicConfig) -> None:
        """Make a topic, and wait until it can be used."""
        settings = {**_settings_of(config), _FUTURE: _ANY_TIME, **self._settings.topic}
        deadline = self._young[name] = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._create(name, config.partitions, settings)
                break
            except TopicExists:  # one that was deleted may be at it still, with older brokers
                if time.monotonic() > deadline or name in self.topics():
                    raise
                time.sleep(0.05)
            except HubError as error:
                if settings.pop(_FUTURE, None) is None or _FUTURE not in error.message:
                    raise  # else the brokers are older than 3.6: they have no such setting
        self._await(
            lambda found: (
                name in found.topics
                and len(found.topics[name].partitions) == config.partitions
                and all(part.leader >= 0 for part in found.topics[name].partitions.values())
            ),
            f"topic {name!r} can be used",
        )

    def _create(self, name: str, partitions: int, settings: dict[str, str]) -> None:
        new = kafka.NewTopic(name, partitions, self._settings.replication, config=settings)
        self.ask(lambda: self.client.create_topics([new], request_timeout=PATIENCE_S)[name], name)

    def delete(self, name: str) -> None:
        """Remove a topic, and wait until it is gone."""
        self.count(name, fresh=True)
        self._young.pop(name, None)
        self.ask(lambda: self.client.delete_topics([name], request_timeout=PATIENCE_S)[name], name)
        self._await(lambda found: name not in found.topics, f"topic {name!r} is gone")

    def describe(self, name: str) -> TopicInfo:
        """A topic's configuration and extent."""
        count = self.count(name, fresh=True)
        partitions = [TopicPartition(name, number) for number in range(count)]
        starts, ends = self.offsets(partitions, "earliest"), self.offsets(partitions, "latest")
        return TopicInfo(
            name,
            self.config(name, count),
            tuple(PartitionInfo(tp.partition, starts[tp], ends[tp], None) for tp in partitions),
        )

    def settings(self, name: str, kind: Any = kafka.ResourceType.TOPIC) -> dict[str, str]:
        """The settings of a topic, or of what is said, in Kafka's words."""
        resource = kafka.ConfigResource(kind, name)
        entries: dict[str, Any] = self.ask(
            lambda: self.client.describe_configs([resource], request_timeout=_TRY_S)[resource],
            name,
            sure=True,
        )
        return {key: entry.value for key, entry in entries.items()}

    def config(self, name: str, count: int) -> TopicConfig:
        """A topic's configuration."""
        found = self.settings(name)
        policies = set(found["cleanup.policy"].split(","))
        cleanup = "compact,delete" if len(policies) == 2 else policies.pop()
        retention_ms, retention_bytes = int(found["retention.ms"]), int(found["retention.bytes"])
        return TopicConfig(
            partitions=count,
            cleanup=cast("Cleanup", cleanup),
            retention_s=None if retention_ms < 0 else retention_ms / 1000,
            retention_bytes=None if retention_bytes < 0 else retention_bytes,
            tombstone_retention_s=int(found["delete.retention.ms"]) / 1000,
        )

    def alter(self, name: str, config: TopicConfig) -> None:
        """Set a topic's configuration, and wait until it holds."""
        count = self.count(name)
        resource = kafka.ConfigResource(kafka.ResourceType.TOPIC, name)
        for key, value in _settings_of(config).items():
            resource.add_incremental_config(
                kafka.ConfigEntry(key, value, incremental_operation=kafka.AlterConfigOpType.SET)
            )
        self.ask(
            lambda: self.client.incremental_alter_configs([resource], request_timeout=PATIENCE_S)[
                resource
            ],
            name,
        )
        if config.partitions > count:
            more = kafka.NewPartitions(name, config.partitions)
            self.ask(
                lambda: self.client.create_partitions([more], request_timeout=PATIENCE_S)[name],
                name,
            )
        self._await(
            lambda found: (
                len(found.topics[name].partitions) == config.partitions
                and self.config(name, config.partitions) == config
            ),
            f"topic {name!r} is altered",
        )

    def trim(self, positions: Mapping[TopicPartition, int]) -> None:
        """Give up what lies before these offsets."""
        ends = self.offsets(positions, "latest")
        for tp, at in positions.items():
            place = Place(*tp, min(at, ends[tp]))
            self.ask(
                lambda place=place: next(  # type: ignore[misc]
                    iter(self.client.delete_records([place], request_timeout=_TRY_S).values())
                ),
                tp.topic,
                sure=True,
            )

    # Offsets

    def offsets(self, partitions: Iterable[TopicPartition], at: At) -> dict[TopicPartition, int]:
        """The offset of a place in each partition; "latest" is what brokers call high watermark."""
        wanted = [TopicPartition(*tp) for tp in partitions]
        self.require(wanted)
        if isinstance(at, int) and at <= 0:
            at = "earliest"
        found = self._list_offsets(wanted, at)
        late = [tp for tp, offset in found.items() if offset < 0]
        return found | (self._list_offsets(late, "latest") if late else {})

    def _list_offsets(self, partitions: list[TopicPartition], at: At) -> dict[TopicPartition, int]:
        """What brokers say; -1 where no event is as late as the time."""
        if not partitions:
            return {}
        spec: Any = kafka.OffsetSpec
        wanted = getattr(spec, at)() if isinstance(at, str) else spec.for_timestamp(at)

        def request(places: Iterable[Place]) -> list[tuple[Place, Future[Any]]]:
            asked = dict.fromkeys(places, wanted)
            return list(self.client.list_offsets(asked, request_timeout=_TRY_S).items())

        def one(place: Place, first: Future[Any]) -> int:
            tries = chain([first], (request([place])[0][1] for _ in count()))
            deadline = time.monotonic() + PATIENCE_S
            while True:
                offset = int(self.ask(lambda: next(tries), place.topic, sure=True).offset)
                if offset != OFFSET_INVALID:
                    return offset
                # The client keeps it to itself that a leader did not answer: this is what it has
                # said of the partition before it asked (librdkafka's ListOffsets).
                if time.monotonic() > deadline:
                    raise self._silent()
                self._look_again()

        return {
            TopicPartition(place.topic, place.partition): one(place, first)
            for place, first in request(Place(*tp) for tp in partitions)
        }

    # Requests

    def ask(
        self, request: Callable[[], Future[T]], topic: str | None = None, *, sure: bool = False
    ) -> T:
        """Wait for an answer, asking again while brokers are finding their roles.

        Raises what they say in our own words. `sure` is for topics and offsets that are there:
        brokers may hear of them later than others. Such requests have _TRY_S to time out.
        """
        deadline = time.monotonic() + PATIENCE_S
        self.client.poll(0)  # it is to keep nothing of what it has to say
        while True:
            try:
                return self._ask(request, deadline, topic, sure=sure)
            except _Passing:
                continue
            except TimeoutError:
                raise self._silent() from None

    def ask_coordinator(self, request: Callable[[AdminClient], Future[T]]) -> T:
        """Ask a group's coordinator, which the client has to find first, with NEVER_S to time out.

        The client doesn't notice that another broker has become it, and may wait for ever for one
        that the others have struck off their list (librdkafka's issue 5511): so one that fails is
        replaced. If it gave up by itself, and reached the coordinator later, it would use memory
        that it has freed (issue 4605), and the process would die: so it must not.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            client = self.client
            try:
                return self._ask(partial(request, client), time.monotonic() + _TRY_S)
            except (_Passing, TimeoutError):
                if client is self.client:
                    self.client = self._clients.admin()
                if time.monotonic() > deadline:
                    raise self._silent() from None

    def _ask(
        self,
        request: Callable[[], Future[T]],
        deadline: float,
        topic: str | None = None,
        *,
        sure: bool = False,
    ) -> T:
        """Ask once. Raises _Passing if it is worth another try, TimeoutError at the deadline."""
        try:
            return request().result(deadline + 0.5 - time.monotonic())
        except KafkaException as error:
            told = errors.reason(error)
            passing = told.name() in errors.PASSING or (sure and told.name() in _NOT_YET)
            hopeless = self._worries.hopeless is not None
            if passing and not hopeless and time.monotonic() < deadline:
                self._look_again()
                raise _Passing from None
            raise self._translated(told, topic) from None

    def _look_again(self) -> None:
        """Have the client ask who leads: what it thinks of that is out of date."""
        time.sleep(0.02)
        with suppress(KafkaException):
            self.client.list_topics(timeout=1.5)

    def _silent(self) -> HubUnavailable:
        if self._worries.hopeless is not None:
            return errors.unavailable(self._worries.hopeless, self.where)
        return HubUnavailable(f"no answer from Kafka within {PATIENCE_S:.0f} s", where=self.where)

    def _translated(self, told: KafkaError, topic: str | None) -> HubError:
        self.client.poll(0)
        if told.name() in ("_TIMED_OUT", "_TRANSPORT"):
            told = self._worries.hopeless or told
        if told.name() in errors.UNKNOWN and topic is not None:
            with self._lock:
                known = [name for name in self._counts if name != topic]
                self._counts.pop(topic, None)
            return UnknownTopic(topic, known, hub=self.where)
        return errors.translate(told, self.where, topic)

    def _await(self, look: Callable[[Any], bool], what: str) -> None:
        """Wait until the brokers agree."""
        deadline = time.monotonic() + PATIENCE_S
        while not look(self._metadata()):
            if time.monotonic() > deadline:
                raise HubUnavailable(
                    f"expected within {PATIENCE_S:.0f} s that {what}", where=self.where
                )
            time.sleep(0.01)


class _Passing(Exception):
    """Brokers are finding their roles."""


def _settings_of(config: TopicConfig) -> dict[str, str]:
    """Kafka's settings of a topic."""
    retention, nbytes = config.retention_s, config.retention_bytes
    return {
        "cleanup.policy": config.cleanup,
        "retention.ms": _FOR_EVER if retention is None else str(round(retention * 1000)),
        "retention.bytes": _FOR_EVER if nbytes is None else str(nbytes),
        "delete.retention.ms": str(round(config.tombstone_retention_s * 1000)),
    }
