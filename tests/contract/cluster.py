"""What tests do to a cluster behind its clients' backs."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

_HEARTBEAT = 68
_LEAVE_GROUP = 13
_LEAVE = -1


def expel(bootstrap: str, group: str, member_id: str) -> None:
    """Have the coordinator drop a member of a group, as if its session were over.

    It is the request by which a member leaves, sent by somebody else: the member learns of it as
    it learns of a session that is over.
    """
    header = struct.pack(">hhih", _HEARTBEAT, 0, 1, -1) + b"\0"
    body = _compact(group) + _compact(member_id) + struct.pack(">i", _LEAVE)
    body += b"\0\0" + struct.pack(">i", -1) + b"\0\0\0" + b"\0"
    # correlation, tags, throttle time, error
    code = struct.unpack(">ixih", _ask(bootstrap, header + body)[:11])[2]
    assert code == 0, f"the coordinator refused with error {code}"


def expel_old(bootstrap: str, group: str, member_id: str) -> None:
    """The same by the older protocol of groups."""
    request = struct.pack(">hhih", _LEAVE_GROUP, 0, 1, -1)
    for text in (group, member_id):
        request += struct.pack(">h", len(text)) + text.encode()
    code = struct.unpack(">ih", _ask(bootstrap, request))[1]
    assert code == 0, f"the coordinator refused with error {code}"


def _ask(bootstrap: str, request: bytes) -> bytes:
    host, port = bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    with (
        socket.create_connection((host, int(port)), timeout=30) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.sendall(struct.pack(">i", len(request)) + request)
        return answer.read(struct.unpack(">i", answer.read(4))[0])


def _compact(text: str) -> bytes:
    assert len(text) < 127
    return bytes([len(text) + 1]) + text.encode()


def clean(bootstrap: str) -> None:
    """Remove all topics and groups, and wait until they are gone."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})

    def names() -> list[str]:
        found = admin.list_topics(timeout=30).topics
        return [name for name in found if not name.startswith("__")]

    groups = [each.group_id for each in admin.list_consumer_groups().result(30).valid]
    for done in admin.delete_topics(names()).values() if names() else ():
        done.result(30)
    for done in admin.delete_consumer_groups(groups).values() if groups else ():
        with suppress(KafkaException):  # older brokers drop a group with its last topic
            done.result(30)
    while names():
        pass
