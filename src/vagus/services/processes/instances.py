"""Which processes there are, and which are stuck."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from vagus.hub.personkeys import PersonKeys
from vagus.runtime.frame import KEY, TIME
from vagus.runtime.replica import Replica
from vagus.services.processes.instance import Row
from vagus.streams.duration import Duration, duration_ms

if TYPE_CHECKING:
    from vagus.events import Registry
    from vagus.hub import Hub
    from vagus.services.processes.process import ProcessType

__all__ = ["Instance", "instances"]


@dataclass(frozen=True, slots=True)
class Instance:
    """A process that has begun and isn't over.

    `error` says what holds it up, with `held` events waiting among the dead letters.
    `next_timer` is when it goes on by itself.

    >>> from datetime import UTC, datetime
    >>> from vagus.services import Instance
    >>> Instance("o1", None, datetime(2026, 5, 1, tzinfo=UTC), None, "KeyError: 'sku'", 2).held
    2
    """

    key: Any
    state: Any
    changed_at: datetime
    next_timer: datetime | None
    error: str | None
    held: int


def instances(
    hub: Hub,
    registry: Registry,
    process: ProcessType,
    *,
    stuck_for: Duration | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Instance]:
    """The processes that are under way, oldest change first.

    With `stuck_for` only those that an error holds up, and those that wait for events, with no
    timer that would end the wait, for so long already. Raises UnknownTopic if the service never
    ran on this hub.

    >>> import vagus as vg
    >>> from pydantic import BaseModel
    >>> class Placed(vg.Event):
    ...     order_id: str
    >>> class Case(BaseModel):
    ...     events: int = 0
    >>> service = vg.Service("shop")
    >>> placed = service.topic("placed", Placed, key="order_id")
    >>> def react(event, case):
    ...     case.events += 1
    >>> case = service.process("case", Case, on={placed: "order_id"}, react=react)
    >>> with vg.testing.Harness(service) as h:
    ...     h.send(placed, Placed(order_id="o1"))
    ...     [one.key for one in vg.services.instances(h.hub, h.registry, case)]
    ['o1']
    """
    replica = Replica(hub, process.state_topic, registry)
    try:
        rows = replica.store.rows().sort(TIME).rows(named=True)
    finally:
        replica.close()
    found = [_instance(process, row, PersonKeys.of(hub)) for row in rows]
    if stuck_for is None:
        return found
    oldest = datetime.fromtimestamp(clock() - duration_ms(stuck_for) / 1000, UTC)
    return [
        one
        for one in found
        if one.error is not None or (one.next_timer is None and one.changed_at <= oldest)
    ]


def _instance(process: ProcessType, row: dict[str, Any], keys: PersonKeys) -> Instance:
    kept = Row.of(row)
    timers = [timer.due_ms for timer in kept.timers]
    return Instance(
        key=row[KEY],
        state=process.form.load(kept.state, keys),
        changed_at=row[TIME],
        next_timer=datetime.fromtimestamp(min(timers) / 1000, UTC) if timers else None,
        error=kept.error,
        held=kept.held,
    )
