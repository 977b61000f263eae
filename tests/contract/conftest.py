"""The hubs that the contract suite is run on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.contract.hubs import ClusterUnderTest, FileHub, HubUnderTest, MemoryHub

if TYPE_CHECKING:
    from vagus.hub import Hub


@pytest.fixture(params=["memory", "file", "kafka", "old_kafka"])
def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[HubUnderTest]:
    made: HubUnderTest
    if request.param == "memory":
        made = MemoryHub()
    elif request.param == "file":
        made = FileHub(tmp_path)
    else:
        made = ClusterUnderTest(request.getfixturevalue(request.param))
    yield made
    made.close()


@pytest.fixture
def hub(under_test: HubUnderTest) -> Hub:
    return under_test.connect()
