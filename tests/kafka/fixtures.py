"""Fixtures with real brokers. Without Java and Maven their tests are skipped, in one line.

With VAGUS_REQUIRE_KAFKA=1, as in .ci/run, they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.kafka import jars
from tests.kafka.cluster import Cluster


def require() -> None:
    """Skip, or fail if Kafka is required, where brokers can't be started."""
    try:
        jars.fetch()
    except jars.Missing as missing:
        if os.environ.get("VAGUS_REQUIRE_KAFKA") == "1":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka() -> Iterator[Cluster]:
    """One broker for all tests of this process (with xdist each worker has one).

    Use names of your own, or remove what others left.
    """
    require()
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def secured_kafka() -> Iterator[Cluster]:
    """One broker for all tests of this process that also has secured listeners."""
    require()
    with Cluster(secured=True) as cluster:
        yield cluster
