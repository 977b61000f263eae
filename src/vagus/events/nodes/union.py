"""One of several types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from vagus.events.nodes.base import BadRows, Names, Node, nulls

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Union"]


class Union(Node):
    """One of several types; in a frame a struct, with a value in one of its members.

    `null_place` is where null stands among the branches, if it is one of them.
    """

    def __init__(self, where: str, branches: dict[str, Node], null_place: int | None) -> None:
        dtype = pl.Struct({name: branch.dtype for name, branch in branches.items()})
        logical = pa.struct([(name, branch.logical) for name, branch in branches.items()])
        super().__init__(where, dtype, logical)
        self.branches = branches
        self.null_place = null_place
        self.nullable = null_place is not None
        self.fast = all(branch.fast for branch in branches.values())
        self._codes = [
            place + (null_place is not None and place >= null_place)
            for place in range(len(branches))
        ]

    def wrapped(self, inner: Any) -> Any:
        return inner

    def plain_schema(self, names: Names) -> Any:
        # A record of one field is written as the field: its name tells which branch was read.
        return self._with_null(
            [
                {
                    "type": "record",
                    "name": names.new(),
                    "fields": [{"name": name, "type": branch.plain_schema(names)}],
                }
                for name, branch in zip(self._members(), self.branches.values(), strict=True)
            ]
        )

    def _members(self) -> list[str]:
        return [f"v{place}" for place in range(len(self.branches))]

    def library_schema(self, names: Names, *, reading: bool) -> Any:
        return self._with_null(
            [branch.library_schema(names, reading=reading) for branch in self.branches.values()]
        )

    def _with_null(self, kinds: list[Any]) -> list[Any]:
        if self.null_place is None:
            return kinds
        return [*kinds[: self.null_place], "null", *kinds[self.null_place :]]

    def plain_type(self) -> pa.DataType:
        return pa.struct([(name, branch.plain_type()) for name, branch in self.branches.items()])

    def plain_value(self, value: Any) -> Any:
        ((member, inner),) = value.items()
        name = list(self.branches)[int(member[1:])]
        return {name: self.branches[name].plain_value(inner)}

    def default_value(self, value: Any) -> Any:
        name, branch = next(iter(self.branches.items()))  # a default is of the first branch
        return {name: branch.default_value(value)}

    def read(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        here = np.arange(len(array))
        mask = None
        if pa.types.is_union(array.type):
            codes = np.asarray(array.type_codes)
            members = [array.field(code) for code in self._codes]
            others = [codes != code for code in self._codes]
            if self.null_place is not None:
                mask = pa.array(codes == self.null_place)
        else:
            members = array.flatten()
            others = [nulls(member) for member in members]
            mask = array.is_null() if array.null_count else None
        outer = here if rows is None else rows
        children = []
        for branch, member, other in zip(self.branches.values(), members, others, strict=True):
            child = branch.read(member, np.where(other, -1, outer), bad)
            children.append(child.take(pa.array(here, mask=other)))
        return pa.StructArray.from_arrays(children, list(self.branches), mask=mask)

    def write(self, array: pa.Array, rows: NDArray[np.int64] | None, bad: BadRows) -> pa.Array:
        count = len(array)
        members = array.flatten()
        given = np.array([~nulls(member) for member in members])
        several = given.sum(axis=0)
        wrong = several > 1 if self.nullable else several != 1
        if wrong.any():
            names = ", ".join(self.branches)
            bad.add(wrong, rows, self.where, f"expected a value in one of {names}")
        codes = np.full(count, self.null_place or 0, dtype=np.int8)
        outer = np.arange(count) if rows is None else rows
        children: list[pa.Array] = []
        for place, (branch, member) in enumerate(zip(self.branches.values(), members, strict=True)):
            codes[given[place]] = self._codes[place]
            inner = np.where(given[place], outer, -1)
            children.append(branch.write(member, inner, bad))
        if self.null_place is not None:
            children.insert(self.null_place, pa.nulls(count))
        return pa.UnionArray.from_sparse(pa.array(codes), children)
