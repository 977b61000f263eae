"""Process managers: what reacts to events of several services, and knows how far each case is."""

from __future__ import annotations

from vagus.services.processes.declare import ProcessDeclarations
from vagus.services.processes.effects import After, Cancel, Done
from vagus.services.processes.instances import Instance, instances
from vagus.services.processes.process import ProcessType

__all__ = [
    "After",
    "Cancel",
    "Done",
    "Instance",
    "ProcessDeclarations",
    "ProcessType",
    "instances",
]
