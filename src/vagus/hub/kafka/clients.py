"""librdkafka's clients: made in one way, with their words kept off the terminal."""

from __future__ import annotations

import logging
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from vagus.errors import HubError
from vagus.hub.kafka import convert, errors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from confluent_kafka import KafkaError

    from vagus.hub.kafka.settings import KafkaSettings
    from vagus.hub.records import Records, TopicPartition

log = logging.getLogger("vagus.hub")
log.addHandler(logging.NullHandler())

_TELL_EVERY_S = 60.0
_EVENT_BYTES_MAX = 1_000_000  # unless message.max.bytes says otherwise
_TOLD = re.compile(r"(?:\w+://)?(?P<address>\S+)/\w+: +(?P<text>.*)$")
_REQUEST = re.compile(r"ApiKey (?P<name>\S+) \(\d+\) Versions \d+\.\.(?P<newest>\d+)$")
_DEFAULTS = {
    "client.id": "vagus",
    "reconnect.backoff.ms": "50",
    "reconnect.backoff.max.ms": "1000",
    "retry.backoff.ms": "50",
    "socket.keepalive.enable": "true",
    "socket.timeout.ms": "10000",  # a broker that hangs is noticed after that
    "topic.metadata.refresh.interval.ms": "30000",
}


class Clients:
    """Makes clients of one cluster.

    `able` says of brokers, by address, which requests they take, and the newest form of each.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self.able: dict[str, dict[str, int]] = {}
        self.worries = Worries(settings.where)

    def admin(self) -> AdminClient:
        """For topics and groups. What it logs tells what brokers are able to do."""
        debug = self._settings.properties.get("debug")
        heard = {"debug": f"{debug},feature" if debug else "feature"}
        made: AdminClient = self._make(AdminClient, {}, heard)
        return made

    def producer(self, own: Mapping[str, object]) -> Producer:
        """For appending; idempotent, so that nothing is stored twice or out of order."""
        base = {
            "enable.idempotence": "true",
            "acks": "all",
            "queue.buffering.max.messages": "1000000",
            "queue.buffering.max.kbytes": "131072",
            "batch.num.messages": "100000",
        }
        made: Producer = self._make(Producer, {**base, **own})
        # Without a connection, the client would look for one every half a second only.
        with suppress(KafkaException):
            made.list_topics(timeout=5)
        return made

    def consumer(self, own: Mapping[str, object], client_id: str = "") -> Consumer:
        """For reading what is committed, from places that are said."""
        base = {
            "enable.auto.commit": "false",
            "enable.auto.offset.store": "false",
            "enable.partition.eof": "true",
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "allow.auto.create.topics": "false",
            "check.crcs": "true",
            "fetch.queue.backoff.ms": "5",
            "fetch.wait.max.ms": "100",
            "fetch.error.backoff.ms": "50",
            "fetch.message.max.bytes": str(4 << 20),
            "queued.min.messages": "100000",
            "queued.max.messages.kbytes": str(32 << 10),
        }
        named = {"client.id": client_id} if client_id else {}
        made: Consumer = self._make(Consumer, {**base, **own}, named)
        return made

    def send(
        self,
        producer: Producer,
        partition: TopicPartition,
        records: Records,
        on_delivery: Callable[..., None] | None = None,
    ) -> None:
        """Hand records to a producer, see `convert.produce`.

        Raises HubError for an event that is too large, and KafkaException.
        """
        try:
            convert.produce(producer, partition, records, on_delivery)
        except KafkaException as error:
            if errors.reason(error).name() == "MSG_SIZE_TOO_LARGE":
                limit = int(self._settings.properties.get("message.max.bytes", _EVENT_BYTES_MAX))
                sizes = [
                    len(key or b"") + len(value or b"")
                    for key, value in zip(
                        records.keys.to_list(), records.values.to_list(), strict=True
                    )
                ]
                raise errors.too_large(partition.topic, limit, max(sizes)) from None
            raise

    def _make(
        self, kind: Any, own: Mapping[str, object], fixed: Mapping[str, object] | None = None
    ) -> Any:
        settings = {
            "bootstrap.servers": self._settings.servers,
            **_DEFAULTS,
            **own,
            **self._settings.properties,
            **(fixed or {}),
            "error_cb": self.worries,
            "logger": _Whisper(self.able),
        }
        try:
            return kind(settings)
        except KafkaException as error:
            raise HubError(
                f"expected properties that Kafka's client knows: {errors.reason(error).str()}",
                where=self._settings.where,
                hint="see https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md",
            ) from None


class Worries:
    """What the clients' threads complain of. The connection mends itself, or never will."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._told_s = float("-inf")
        self.last: KafkaError | None = None
        self.hopeless: KafkaError | None = None
        self._lack = ""

    def __call__(self, error: KafkaError) -> None:
        """Hear a complaint; called by the clients."""
        if error.name() in errors.REFUSED_LOGIN | errors.INSECURE | errors.TOO_OLD:
            self.hopeless = error
        if self.last is None or error.name() != "_ALL_BROKERS_DOWN":
            self.last = error
        now = time.monotonic()
        if now - self._told_s > _TELL_EVERY_S:
            self._told_s = now
            log.warning("%s: %s", self._where, errors.sentence(error))

    def lack(self, what: HubError) -> None:
        """Say, once, what has to be put right before writing goes on."""
        if self._lack != str(what):
            self._lack = str(what)
            log.warning("waiting: %s", what)

    def written(self) -> None:
        """Nothing is lacking."""
        self._lack = ""

    def forget(self) -> None:
        """All is well again."""
        self.last = self.hopeless = None


class _Whisper:
    """Takes librdkafka's log: what matters of it comes as errors, too.

    But what a broker is able to do is told nowhere else. Of an old one the client asks less without
    a word: it leaves out the group's metadata, on which exactly once hangs, or waits for ever.
    """

    def __init__(self, able: dict[str, dict[str, int]]) -> None:
        self._able = able
        self._hearing: dict[str, dict[str, int]] = {}

    def log(self, level: int, text: str, *values: object) -> None:
        """A line."""
        told = _TOLD.search(str(values[-1])) if values and values[0] == "APIVERSION" else None
        if told is None:
            log.debug(text, *values)
            return
        address = told["address"]
        request = _REQUEST.match(told["text"])
        if request is not None:
            self._hearing.setdefault(address, {})[request["name"]] = int(request["newest"])
        elif address in self._hearing:  # the list is over
            self._able[address] = self._hearing.pop(address)
