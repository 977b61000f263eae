"""Grouped tables against plain sums over the rows: any batching, and restarts in between."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import vagus as vg

TIME = pl.Datetime("ms", "UTC")


class Employee(vg.Event):
    name: str
    team: str | None
    salary: int


Change = tuple[str, tuple[str | None, int] | None]  # name, and team with salary, or gone

_changes = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.none() | st.tuples(st.sampled_from(["red", "blue", None]), st.integers(-50, 50)),
    ),
    min_size=1,
    max_size=30,
)


def _frame(changes: list[Change]) -> pl.DataFrame:
    names = [name for name, _ in changes]
    return pl.DataFrame(
        {
            "_key": names,
            "_time": pl.Series(range(len(changes))).cast(TIME),
            "_tombstone": [row is None for _, row in changes],
            "name": names,
            "team": pl.Series([row and row[0] for _, row in changes], dtype=pl.String),
            "salary": pl.Series([row and row[1] for _, row in changes], dtype=pl.Int64),
        }
    )


@settings(max_examples=40)
@given(_changes, st.data())
def test_groups_are_sums_over_the_rows_that_are_there(
    changes: list[Change], data: st.DataObject
) -> None:
    app = vg.App("payroll")
    employees = app.table("employee", Employee, key="name")
    teams = employees.group_by("team").agg(
        people=vg.count(), total=vg.sum("salary"), mean=vg.mean("salary")
    )
    teams.to_table("team")
    rows: dict[str, tuple[str | None, int]] = {}
    for name, row in changes:
        rows.pop(name, None)
        if row is not None:
            rows[name] = row

    with vg.testing.Harness(app) as harness:
        rest = changes
        while rest:
            count = data.draw(st.integers(1, len(rest)), label="changes in the batch")
            harness.put(employees, _frame(rest[:count]))
            harness.run()
            rest = rest[count:]
            if data.draw(st.booleans(), label="restart"):
                harness.restart()

        for team in ("red", "blue"):
            salaries = [salary for of, salary in rows.values() if of == team]
            found = harness.views["team"].get(team)
            if found is None:  # nobody was ever in the team
                assert not salaries
                continue
            assert found["people"] == len(salaries)
            assert found["total"] == sum(salaries)
            assert found["mean"] == (sum(salaries) / len(salaries) if salaries else None)


class Visit(vg.Event):
    user: str


_visits = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 20)), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)


@settings(max_examples=30)
@given(_visits, st.sampled_from(["each", "update"]))
def test_windows_can_be_grouped_again(batches: list[list[tuple[str, int]]], emit: Any) -> None:
    """How many windows of users have how many visits."""
    app = vg.App("web")
    visits = app.topic("visit", Visit, key="user")
    per_user = visits.window(vg.hopping("10m", every="5m", grace="1h")).agg(n=vg.count(), emit=emit)
    per_user.group_by("n").agg(windows=vg.count()).to_table("windows")
    counts: Counter[tuple[str, int]] = Counter()
    with vg.testing.Harness(app) as harness:
        for batch in batches:
            frame = pl.DataFrame(
                {"user": [user for user, _ in batch], "at": [minute for _, minute in batch]}
            )
            moment = (pl.col("at") * 60_000).cast(TIME).alias("_time")
            harness.send(visits, frame.select("user", moment))
            for user, minute in batch:
                latest = minute - minute % 5
                counts.update((user, start) for start in (latest, latest - 5) if start >= 0)

        expected = Counter(counts.values())
        found = harness.views["windows"].scan().filter(pl.col("windows") > 0)
        assert dict(found.select("n", "windows").rows()) == expected
