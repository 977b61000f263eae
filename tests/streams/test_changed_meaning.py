"""A step's name is its identity: its state belongs to what it meant when the state was made."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import vagus as vg
from tests.streams.readings import reading, topic
from vagus.errors import TopologyChanged


def _app(**aggregates: vg.Aggregate) -> vg.App:
    app = vg.App("weather")
    topic(app).group_by().agg(name="step", **aggregates).to("out")  # type: ignore[arg-type]
    return app


def _run(app: vg.App, harness: vg.testing.Harness) -> None:
    """Run another version of an application on the harness's hub."""
    from vagus.runtime.worker import Worker

    worker = Worker(app.name, app.topology, harness.hub, harness.registry)
    while worker.turn():
        pass
    worker.close()


def test_another_aggregate_under_the_same_name_is_refused_with_what_to_do() -> None:
    with vg.testing.Harness(_app(n=vg.count())) as harness:
        harness.send("reading", reading("a", 1))
        harness.restart()

        with pytest.raises(TopologyChanged, match=r"'step' means something else.*another name"):
            _run(_app(n=vg.sum("celsius")), harness)


@pytest.mark.parametrize(
    "changed",
    [
        vg.sum(pl.col("celsius") + 1),
        vg.fold("celsius", lambda state, value: state, initial=0.0, dtype=pl.Float64),
    ],
)
def test_so_is_another_input(changed: vg.Aggregate) -> None:
    with vg.testing.Harness(_app(n=vg.sum("celsius"))) as harness:
        harness.run()
        harness.restart()

        with pytest.raises(TopologyChanged):
            _run(_app(n=changed), harness)


def test_another_window_under_the_same_name_is_refused() -> None:
    def app(window: Any) -> vg.App:
        made = vg.App("weather")
        topic(made).window(window).agg(n=vg.count(), name="step").to("out")
        return made

    with vg.testing.Harness(app(vg.tumbling("1m"))) as harness:
        harness.run()
        harness.restart()

        with pytest.raises(TopologyChanged):
            _run(app(vg.tumbling("2m")), harness)


def test_the_same_meaning_goes_on_with_its_state() -> None:
    with vg.testing.Harness(_app(n=vg.count())) as harness:
        harness.send("reading", reading("a", 1))
        harness.restart()
        harness.put("reading", reading("a", 1))

        _run(_app(n=vg.count()), harness)

        assert harness.read("out")["n"].to_list() == [1, 2]


def test_names_do_not_depend_on_the_order_of_declaration() -> None:
    def names(*, turned: bool) -> set[str]:
        app = vg.App("weather")
        readings = topic(app)
        window = readings.window(vg.tumbling("1m"))
        makes = [
            lambda: readings.group_by().agg(n=vg.count()),
            lambda: window.agg(n=vg.count()),
        ]
        for make in reversed(makes) if turned else makes:
            make()
        return set(app.topology.meanings())

    assert names(turned=False) == names(turned=True)
    assert names(turned=False) == {"reading-by-sensor", "reading-by-sensor-tumbling-1m"}
