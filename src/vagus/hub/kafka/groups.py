"""Consumer groups, as the cluster's coordinators know them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import TopicPartition as Place

from vagus.errors import HubError, HubUnavailable, UnknownGroup, UnknownTopic
from vagus.hub.contract import GroupInfo, MemberInfo
from vagus.hub.kafka import errors
from vagus.hub.kafka.admin import NEVER_S, PATIENCE_S, kafka
from vagus.hub.kafka.clients import log
from vagus.hub.records import TopicPartition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vagus.hub.kafka.admin import Admin
    from vagus.hub.kafka.clients import Clients

UNSTABLE_S = 75.0
"""How long to wait for the positions that an open transaction is about to set, or not."""

_SESSION = "consumer.session.timeout.ms"
_ONLY_OWNED = "vagus-owner:"
"""Before the writer's id, beside a position that nobody has committed: see `only_owned`."""


class Groups:
    """The groups of a cluster."""

    def __init__(self, admin: Admin, clients: Clients) -> None:
        self._admin, self._clients = admin, clients

    def names(self) -> list[str]:
        """All groups, sorted."""
        client = self._admin.client
        deadline = time.monotonic() + PATIENCE_S
        while True:
            listed = self._admin.ask(
                lambda: client.list_consumer_groups(request_timeout=PATIENCE_S)
            )
            passing = any(error.name() in errors.PASSING for error in listed.errors)
            if not passing or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        if listed.errors and not listed.valid:
            raise errors.translate(listed.errors[0], self._admin.where)
        return sorted(each.group_id for each in listed.valid)

    def describe(self, name: str) -> GroupInfo:
        """Members, positions and ends. Raises UnknownGroup."""
        members = self._members(name)
        positions = self._positions(name, None, stable=False)
        if members is None and not positions:
            raise UnknownGroup(name, self.names(), hub=self._admin.where)
        ends: dict[TopicPartition, int] = {}
        for topic in sorted({tp.topic for tp in positions}):
            of_topic = [tp for tp in positions if tp.topic == topic]
            try:
                ends |= self._admin.offsets(of_topic, "latest")
            except UnknownTopic:  # deleted since
                for tp in of_topic:
                    del positions[tp]
        return GroupInfo(name, None, tuple(members or ()), positions, ends)

    def committed(
        self, group: str, partitions: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Committed positions; waits while a transaction that is under way may change them."""
        wanted = [TopicPartition(*tp) for tp in partitions]
        if not wanted:
            return {}
        deadline = time.monotonic() + UNSTABLE_S
        while True:
            try:
                return self._positions(group, wanted, stable=True)
            except _Unstable:
                if time.monotonic() > deadline:
                    raise HubUnavailable(
                        f"expected a transaction to end within {UNSTABLE_S:.0f} s",
                        where=f"group {group}",
                        hint="a worker that died left it open, or the group's coordinator doesn't "
                        "answer; try again",
                    ) from None
                time.sleep(0.1)

    def set_session(self, name: str, timeout_s: float) -> None:
        """Have the brokers give a group's members so long, if they let it be set.

        Only where it is not so yet: for that a broker needs the controller, and waits for one that
        hangs (for 30 s), while it knows by itself what is set.
        """
        wanted = str(round(timeout_s * 1000))
        resource = kafka.ConfigResource(kafka.ResourceType.GROUP, name)
        resource.add_incremental_config(
            kafka.ConfigEntry(_SESSION, wanted, incremental_operation=kafka.AlterConfigOpType.SET)
        )
        client = self._admin.client
        try:
            if self._admin.settings(name, resource.restype).get(_SESSION) == wanted:
                return
            self._admin.ask(
                lambda: client.incremental_alter_configs([resource], request_timeout=PATIENCE_S)[
                    resource
                ]
            )
        except HubUnavailable:
            raise
        except HubError as error:
            log.warning(
                "group %s: the brokers' own session timeout holds, not %g s (%s)",
                name,
                timeout_s,
                error.message,
            )

    def reset(self, name: str, positions: Mapping[TopicPartition, int]) -> None:
        """Set committed positions. Refused while there are members."""
        self._admin.require(positions)
        if self._members(name):
            raise HubError(
                "expected a group without members, got one that is at work",
                where=f"group {name}",
                hint="stop its members first",
            )
        if not positions:
            return
        places = [Place(*tp, at) for tp, at in positions.items()]
        done = self._admin.ask_coordinator(
            lambda client: client.alter_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(name, list(places))], request_timeout=NEVER_S
            )[name]
        )
        for place in done.topic_partitions:
            if place.error is not None:
                raise errors.translate(place.error, f"group {name}", place.topic)

    def _members(self, name: str) -> list[MemberInfo] | None:
        """The members; None if there is no such group."""
        try:
            found: Any = self._admin.ask_coordinator(
                lambda client: client.describe_consumer_groups([name], request_timeout=NEVER_S)[
                    name
                ]
            )
        except UnknownGroup:
            return None
        if found.state == ConsumerGroupState.DEAD:
            return None
        return [
            MemberInfo(
                member.member_id,
                member.client_id,
                frozenset(
                    TopicPartition(place.topic, place.partition)
                    for place in (member.assignment.topic_partitions if member.assignment else ())
                ),
            )
            for member in found.members
        ]

    def member_ids(self, name: str) -> set[str]:
        """Who is in the group now."""
        return {member.member_id for member in self._members(name) or ()}

    def writers(self, group: str, partitions: list[TopicPartition]) -> set[str]:
        """The transactional ids that stand beside committed positions."""
        found = self._listed(group, [Place(*tp) for tp in partitions], stable=False)
        return {str(place.metadata).removeprefix(_ONLY_OWNED) for place in found if place.metadata}

    def _positions(
        self, group: str, partitions: list[TopicPartition] | None, *, stable: bool
    ) -> dict[TopicPartition, int]:
        places = None if partitions is None else [Place(*tp) for tp in partitions]
        return {
            TopicPartition(place.topic, place.partition): place.offset
            for place in self._listed(group, places, stable=stable)
            if place.offset >= 0 and not str(place.metadata).startswith(_ONLY_OWNED)
        }

    def _listed(self, group: str, places: list[Place] | None, *, stable: bool) -> list[Place]:
        """What the coordinator has of a group, of all partitions if none are named.

        Raises _Unstable while an open transaction may change it, if it is to be `stable`. A
        consumer asks, as one that doesn't join: where the coordinator has moved, the same request
        of an AdminClient ends the process (librdkafka up to 2.16, `rd_kafka_handle_OffsetFetch`).
        """
        if places is None:
            counts = self._admin.topics().items()
            places = [Place(topic, number) for topic, count in counts for number in range(count)]
        level = "read_committed" if stable else "read_uncommitted"
        client = self._clients.consumer({"group.id": group, "isolation.level": level})
        try:
            found: list[Place] = client.committed(places, timeout=PATIENCE_S)
        except KafkaException as error:
            if stable and errors.reason(error).name() == "_TIMED_OUT":
                raise _Unstable from None
            raise errors.wrap(error, self._admin.where) from None
        finally:
            client.close()
        unstable = "UNSTABLE_OFFSET_COMMIT"
        if any(place.error is not None and place.error.name() == unstable for place in found):
            raise _Unstable
        return found


class _Unstable(Exception):
    """Positions are about to change."""


def only_owned(writer: str) -> str:
    """What to put beside a position that isn't committed, so that `writers` finds its owner.

    A heir has to find the one that died before its first commit, too. To us, and so to whoever
    starts there, the partition has no position yet.
    """
    return _ONLY_OWNED + writer
