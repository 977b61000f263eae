"""Kafka's errors, as this package says them: one line, what, where, what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vagus.errors import (
    CorruptBatch,
    Fenced,
    HubError,
    HubUnavailable,
    OffsetOutOfRange,
    TopicExists,
    UnknownGroup,
    UnknownTopic,
)

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, KafkaException

FENCED = frozenset(
    {
        "_FENCED",
        "_MAX_POLL_EXCEEDED",
        "FENCED_INSTANCE_ID",
        "FENCED_MEMBER_EPOCH",
        "ILLEGAL_GENERATION",
        "INVALID_PRODUCER_EPOCH",
        "INVALID_PRODUCER_ID_MAPPING",
        "PRODUCER_FENCED",
        "STALE_MEMBER_EPOCH",
        "TRANSACTION_COORDINATOR_FENCED",
        "UNKNOWN_MEMBER_ID",
    }
)
UNKNOWN = frozenset(
    {"UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION"}
)
_UNREACHABLE = frozenset(
    {
        "_ALL_BROKERS_DOWN",
        "_MSG_TIMED_OUT",
        "_RESOLVE",
        "_TIMED_OUT",
        "_TIMED_OUT_QUEUE",
        "_TRANSPORT",
        "_WAIT_COORD",
        "BROKER_NOT_AVAILABLE",
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "LEADER_NOT_AVAILABLE",
        "NETWORK_EXCEPTION",
        "NOT_CONTROLLER",
        "NOT_ENOUGH_REPLICAS",
        "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
        "NOT_LEADER_FOR_PARTITION",
        "REQUEST_TIMED_OUT",
    }
)
PASSING = frozenset(
    {
        "COORDINATOR_LOAD_IN_PROGRESS",
        "COORDINATOR_NOT_AVAILABLE",
        "FENCED_LEADER_EPOCH",
        "LEADER_NOT_AVAILABLE",
        "NOT_CONTROLLER",
        "NOT_COORDINATOR",
        "NOT_LEADER_FOR_PARTITION",
        "OFFSET_NOT_AVAILABLE",
        "UNKNOWN_LEADER_EPOCH",
        "_DESTROY_BROKER",  # the one that was asked is struck off the others' list
        "_NOENT",  # of a partition's leader
    }
)
"""What brokers say while one is becoming another's successor."""
REFUSED_LOGIN = frozenset({"_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"})
INSECURE = frozenset({"_SSL"})
TOO_OLD = frozenset({"_UNSUPPORTED_FEATURE", "UNSUPPORTED_VERSION", "_NOT_IMPLEMENTED"})
_LASTING = frozenset(
    {
        "INVALID_RECORD",
        "INVALID_REQUIRED_ACKS",
        "MSG_SIZE_TOO_LARGE",
        "POLICY_VIOLATION",
        "RECORD_LIST_TOO_LARGE",
        "UNKNOWN_TOPIC_OR_PART",
        "_UNKNOWN_PARTITION",
        "_UNKNOWN_TOPIC",
    }
)
_NOISE = re.compile(
    r"^\S+/(bootstrap|\d+): |^(Broker|Local): | \(after \d+ms in state \w+[^)]*\)|ipv[46]#"
)
_HINTS = {
    "NOT_ENOUGH_REPLICAS": "fewer replicas are in sync than min.insync.replicas asks for: are "
    "brokers down?",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND": "fewer replicas are in sync than min.insync.replicas asks "
    "for: are brokers down?",
    "INVALID_RECORD": "a compacted topic takes only records with keys",
    "MSG_SIZE_TOO_LARGE": "raise the topic's max.message.bytes, and message.max.bytes in the "
    "address (kafka://host:port?message.max.bytes=...), or send less in one event",
    "INVALID_REPLICATION_FACTOR": "give one that the cluster has brokers for "
    "(kafka://host:port?replication=1)",
    "UNSUPPORTED_ASSIGNOR": "the brokers need `range` in group.consumer.assignors",
}


def reason(error: BaseException) -> KafkaError:
    """What is in a KafkaException."""
    found: KafkaError = error.args[0]
    return found


def wrap(error: KafkaException, where: str, topic: str | None = None) -> HubError:
    """The error to raise instead of the client's own."""
    return translate(reason(error), where, topic)


def translate(error: KafkaError, where: str, topic: str | None = None) -> HubError:
    """What went wrong, for whoever called. `where` is the address, a topic or a group."""
    name, text = error.name(), sentence(error)
    if name in UNKNOWN and topic is not None:
        return UnknownTopic(topic, hub=where)
    if name == "TOPIC_ALREADY_EXISTS":
        return TopicExists(
            f"there is a topic {topic!r} already", where=where, hint="use it, or delete it first"
        )
    if name == "GROUP_ID_NOT_FOUND":
        return UnknownGroup(where)
    if name in FENCED:
        return Fenced(
            f"expected to be a member still, or the newest writer: {text}",
            where=where,
            hint="others have taken over; join, or begin, anew",
        )
    if name in ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"):
        return OffsetOutOfRange(f"expected a position that is kept: {text}", where=where)
    if name in ("_BAD_MSG", "_BAD_COMPRESSION", "CORRUPT_MESSAGE", "INVALID_MSG"):
        return CorruptBatch(f"stored events are damaged: {text}", where=where)
    if name.endswith("AUTHORIZATION_FAILED"):
        return HubError(
            f"not allowed: {text}",
            where=where if topic is None else f"{topic}, {where}",
            hint="have the cluster's administrator grant it to this user (an ACL)",
        )
    if name in _UNREACHABLE | PASSING or name in REFUSED_LOGIN | INSECURE | TOO_OLD:
        return unavailable(error, where)
    place = where if topic is None else f"{topic}, {where}"
    return HubError(f"Kafka refused: {text}", where=place, hint=_HINTS.get(name))


def unavailable(error: KafkaError, where: str) -> HubUnavailable:
    """The cluster can't be used now, and why."""
    name, text = error.name(), sentence(error)
    if name in REFUSED_LOGIN:
        return HubUnavailable(
            f"the broker refused the login: {text}",
            where=where,
            hint="check sasl.mechanism, sasl.username and VAGUS_KAFKA_SASL_PASSWORD",
        )
    if name in INSECURE or "SSL" in text:
        return HubUnavailable(
            f"no secure connection: {text}",
            where=where,
            hint="check security.protocol, ssl.ca.location, the broker's certificate, and yours "
            "(ssl.certificate.location) if it asks for one",
        )
    if name in TOO_OLD:
        return too_old(text, where)
    return HubUnavailable(
        f"no answer from Kafka: {text}",
        where=where,
        hint=_HINTS.get(name)
        or "is it running there, does this machine reach it, and is security.protocol "
        "what it expects?",
    )


def too_old(what: str, where: str) -> HubUnavailable:
    """A broker that can't do what is needed."""
    return HubUnavailable(
        f"the broker is too old: {what}",
        where=where,
        hint="Vagus needs Apache Kafka 2.5 or newer, or what speaks its protocol",
    )


def lost(error: KafkaError, where: str) -> HubError:
    """What to raise where a transaction, or a commit of positions, came to nothing.

    HubUnavailable, so that it is tried again, unless the same would be refused again.
    """
    found, name = translate(error, where), error.name()
    lasting = name in _LASTING or name.endswith("AUTHORIZATION_FAILED")
    if lasting or isinstance(found, HubUnavailable | Fenced):
        return found
    return HubUnavailable(
        f"nothing was committed: {sentence(error)}",
        where=where,
        hint="begin again, from the positions that are committed",
    )


def unsure(fatal: KafkaError, where: str, topic: str) -> HubError:
    """What to raise for events that were under way when a fatal error ended their producer."""
    if fatal.name().endswith("AUTHORIZATION_FAILED"):
        return translate(fatal, where, topic)
    return HubUnavailable(
        f"it is not known whether all was stored: {sentence(fatal)}",
        where=f"{topic}, {where}",
        hint="look for it before it is sent again",
    )


def too_large(topic: str, limit: int, nbytes: int | None = None) -> HubError:
    """An event that doesn't fit."""
    got = "" if nbytes is None else f", got one of {nbytes}"
    return HubError(
        f"expected events of at most {limit} bytes{got}",
        where=topic,
        hint=_HINTS["MSG_SIZE_TOO_LARGE"],
    )


def sentence(error: KafkaError) -> str:
    """The client's words, without the names of its threads and in one line."""
    text = " ".join((error.str() or error.name()).split())
    return _NOISE.sub("", text)
