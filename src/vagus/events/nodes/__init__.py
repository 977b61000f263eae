"""Avro types in columns: a tree of nodes, one for each type of a schema.

A column has two forms. *Storage* is what the Avro library reads and writes: the schema with its
logical types taken off. *Logical* is what a frame holds. A node knows both, and the way between
them; none of the ways walks single values where columns can do it.

Avro text and bytes look the same on the wire, and a `fixed` looks like floats of its size. The
library knows no bytes, no fixed and no decimals, so these travel as text and as floats.
"""

from __future__ import annotations

from vagus.events.nodes.base import BadRows, Names, Node, alive, nulls
from vagus.events.nodes.enumeration import Enumeration
from vagus.events.nodes.fixed import Decimal, Fixed
from vagus.events.nodes.nested import Array, Map, Record
from vagus.events.nodes.scalar import Scalar, checked_text
from vagus.events.nodes.temporal import TEMPORAL, Temporal
from vagus.events.nodes.union import Union

__all__ = [
    "TEMPORAL",
    "Array",
    "BadRows",
    "Decimal",
    "Enumeration",
    "Fixed",
    "Map",
    "Names",
    "Node",
    "Record",
    "Scalar",
    "Temporal",
    "Union",
    "alive",
    "checked_text",
    "nulls",
]
