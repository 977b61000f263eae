"""Fixtures with real brokers. Without Java and Maven their tests are skipped, in one line.

With VAGUS_REQUIRE_KAFKA=1, as in .ci/run, they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache

import pytest

from tests.kafka import jars
from tests.kafka.cluster import Cluster
from tests.kafka.old import OLDEST, OldBroker

one_at_a_time = pytest.mark.xdist_group("three-brokers")
"""For tests with several brokers of their own: a machine may have two cores."""


def require() -> None:
    """Skip, or fail if Kafka is required, where brokers can't be started."""
    missing = _missing()
    if missing is not None:
        skip_unless_required(missing)


def skip_unless_required(why: str) -> None:
    """Skip a test that needs what isn't there; fail where it has to be."""
    if os.environ.get("VAGUS_REQUIRE_KAFKA") == "1":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@cache
def _missing() -> str | None:
    try:
        jars.fetch()
    except jars.Missing as missing:
        return str(missing)
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip in one place, so that one line tells of all."""
    chosen = getattr(item, "callspec", None)
    asked = [*getattr(item, "fixturenames", ()), *(chosen.params.values() if chosen else ())]
    if {"brokers", "kafka", "old_kafka"}.intersection(one for one in asked if isinstance(one, str)):
        require()


@pytest.fixture(scope="session")
def brokers() -> None:
    """What needs brokers of its own asks for this first."""


@pytest.fixture(scope="session")
def kafka(brokers: None) -> Iterator[Cluster]:
    """One broker for all tests of this process (with xdist each worker has one).

    Use names of your own, or remove what others left.
    """
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def old_kafka(brokers: None) -> Iterator[OldBroker]:
    """One broker of the oldest version that Vagus works with, for all tests of this process."""
    with OldBroker(OLDEST) as broker:
        yield broker


@pytest.fixture(scope="session")
def secured_kafka(brokers: None) -> Iterator[Cluster]:
    """One broker for all tests of this process that also has secured listeners."""
    with Cluster(secured=True) as cluster:
        yield cluster
