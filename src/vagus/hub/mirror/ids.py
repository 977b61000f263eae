"""Schemas on their way from one hub's registry to another's, and the ids of them in events."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from vagus.errors import HubError, SchemaError
from vagus.events.column import truths
from vagus.events.grammar import same_text
from vagus.hub.records import BytesColumn
from vagus.hub.schemas import HubRegistry
from vagus.hub.subjects import level_change, mode_change

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vagus.hub.contract import Hub
    from vagus.hub.subjects import Change, Subjects, Version

__all__ = ["SchemaIds"]

_HEAD_BYTES = 5  # byte 0 and an id
_DEAD_LETTERS = "-dead-letters"


class SchemaIds:
    """Registers the source's schemas in the target, and knows which id became which.

    A schema keeps its id where the target hasn't given that to another.
    """

    def __init__(self, source: Hub, target: Hub) -> None:
        self._source, self._target = HubRegistry(source), HubRegistry(target)
        self._new: dict[int, int] = {}
        self._changed: dict[int, int] = {}
        self._typed: set[str] = set()

    def refresh(self) -> None:
        """Bring the target's registry up to date.

        Raises IncompatibleSchema or SchemaError where its own versions of a subject forbid it.
        """
        with self._source.contents() as wanted:
            if not wanted.names(deleted=True):
                return
            self._new = self._target.change(lambda there: _merge(wanted, there))
            self._typed = _typed_topics(wanted)
        self._changed = {old: new for old, new in self._new.items() if old != new}

    def translate(self, topic: str, values: BytesColumn, keys: BytesColumn) -> BytesColumn:
        """The values with the target's ids.

        Raises HubError where an id has to change and it isn't sure that it is one.
        """
        if not self._new:
            return values
        heads = _Heads(values)
        if not self._new.keys() >= set(heads.distinct.tolist()):
            self.refresh()  # a schema that is newer than what was known
        if not self._changed:
            return values
        self._check_keys(topic, keys)
        met = [int(each) for each in heads.distinct if int(each) in self._changed]
        if not met:
            return values
        if topic not in self._typed and not topic.endswith(_DEAD_LETTERS):
            raise HubError(
                f"expected values without schemas, got some that begin like those of schema "
                f"{met[0]}, which is {self._changed[met[0]]} in the target",
                where=topic,
                hint=f"register their schema under {topic}-value, leave the topic out with "
                "--topics, or mirror to a hub that has no schemas of its own",
            )
        return heads.rewritten(self._changed)

    def _check_keys(self, topic: str, keys: BytesColumn) -> None:
        with self._source.contents() as there:
            ids = {each.schema_id for each in there.versions(f"{topic}-key", deleted=True)}
        if not ids & self._changed.keys():
            return
        met = ids & self._changed.keys() & set(_Heads(keys).distinct.tolist())
        for schema_id in met:
            raise HubError(
                f"expected keys whose schema can keep its id, got {schema_id}, which is another "
                "schema in the target",
                where=topic,
                hint="with another id, keys would belong to other partitions: mirror to a hub that "
                "has no schemas of its own",
            )


class _Heads:
    """Where values begin with byte 0 and the id of a schema."""

    def __init__(self, column: BytesColumn) -> None:
        self._array = array = column.to_arrow()
        count = len(array)
        ends = np.frombuffer(array.buffers()[1], dtype=np.int32)[array.offset :][: count + 1]
        self._bounds = ends - ends[0]
        self._data = np.frombuffer(array.buffers()[2] or b"", dtype=np.uint8)[ends[0] : ends[-1]]
        whole = np.diff(self._bounds) >= _HEAD_BYTES
        if array.null_count:
            whole &= truths(array.is_valid())
        at = self._bounds[:-1][whole].astype(np.int64)
        self._at = at[self._data[at] == 0]
        parts = [self._data[self._at + 1 + place].astype(np.int64) for place in range(4)]
        ids = (parts[0] << 24) | (parts[1] << 16) | (parts[2] << 8) | parts[3]
        self.distinct: NDArray[np.int64]
        self.distinct, self._which = np.unique(ids, return_inverse=True)

    def rewritten(self, changed: dict[int, int]) -> BytesColumn:
        """The values with other ids."""
        new = [changed.get(old, old) for old in self.distinct.tolist()]
        ids = np.array(new, dtype=np.int64)[self._which]
        data = self._data.copy()
        for place in range(4):
            data[self._at + 1 + place] = (ids >> (24 - 8 * place)) & 0xFF
        valid = None
        if self._array.null_count:
            bits = np.packbits(truths(self._array.is_valid()), bitorder="little")
            valid = pa.py_buffer(bits.tobytes())
        bounds = pa.py_buffer(np.ascontiguousarray(self._bounds))
        buffers = [valid, bounds, pa.py_buffer(data)]
        return BytesColumn(pa.Array.from_buffers(pa.binary(), len(self._array), buffers))


def _all_versions(subjects: Subjects) -> list[Version]:
    return [
        each
        for name in subjects.names(deleted=True)
        for each in subjects.versions(name, deleted=True)
    ]


def _meaning(version: Version) -> tuple[str, str, str]:
    """What makes two schemas the same one."""
    if version.kind != "AVRO" or version.references:
        return version.kind, version.schema, json.dumps(version.references, sort_keys=True)
    return version.kind, same_text(version.schema), ""


def _merge(wanted: Subjects, there: Subjects) -> tuple[dict[int, int], list[Change]]:
    """The new ids of all schemas, and what the target has to be told."""
    versions = _all_versions(wanted)
    new = _new_ids(versions, _all_versions(there), there.highest)
    changes: list[Change] = []
    for subject in wanted.names(deleted=True):
        of = wanted.versions(subject, deleted=True)
        changes += _versions_of(of, there, new)
    for name in [None, *wanted.names(deleted=True)]:
        level, mode = wanted.level(name), wanted.mode(name)
        if level is not None and there.level(name) is None:
            changes.append(level_change(name, level))
        if mode is not None and there.mode(name) is None:
            changes.append(mode_change(name, mode))
    return new, changes


def _new_ids(wanted: list[Version], there: list[Version], highest: int) -> dict[int, int]:
    known: dict[tuple[str, str, str], set[int]] = {}
    for each in there:
        known.setdefault(_meaning(each), set()).add(each.schema_id)
    free = max(highest, *(each.schema_id for each in wanted)) + 1
    new: dict[int, int] = {}
    for each in sorted(wanted, key=lambda each: each.schema_id):
        if each.schema_id in new:
            continue
        same = known.get(_meaning(each))
        if same:
            new[each.schema_id] = each.schema_id if each.schema_id in same else min(same)
        elif each.schema_id > highest:
            new[each.schema_id] = each.schema_id
        else:
            new[each.schema_id], free = free, free + 1
    return new


def _versions_of(wanted: list[Version], there: Subjects, new: dict[int, int]) -> list[Change]:
    """What is missing of a subject's versions."""
    subject = wanted[0].subject
    present = there.versions(subject, deleted=True)
    ids = {each.schema_id for each in present}
    missing = [each for each in wanted if new[each.schema_id] not in ids]
    if not missing:
        return []
    if there.mode_of(subject) == "READONLY":
        raise SchemaError(
            f"expected a subject that can be written, but {subject!r} is read-only in the target",
            hint="set its mode to READWRITE",
        )
    foreign = bool(ids - {new[each.schema_id] for each in wanted})
    numbers = {each.number for each in present}
    changes = []
    for each in missing:
        if foreign and each.kind == "AVRO" and not each.deleted:
            there.check(subject, each.schema)
        number = each.number
        if foreign or number in numbers:
            number = max(numbers) + 1
        numbers.add(number)
        changes.append(replace(each, number=number, schema_id=new[each.schema_id]).record())
    return changes


def _typed_topics(subjects: Subjects) -> set[str]:
    """The topics whose values have schemas, as subjects are named after them."""
    found = set()
    for each in _all_versions(subjects):
        if each.subject.endswith("-value"):
            found.add(each.subject.removesuffix("-value"))
        elif each.kind == "AVRO":
            said = json.loads(each.schema)
            name = said.get("name") if isinstance(said, dict) else None
            if name and each.subject.endswith(f"-{name}"):
                found.add(each.subject.removesuffix(f"-{name}"))
    return found
