"""What tests of several folders share: the cluster of an order database and a warehouse that CDC runs between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.cdc_orders import Cluster, Pair


@pytest.fixture(scope="session")
def cdc_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster, one for all tests of a process."""
    from tests.integration.cdc_orders import running_cluster

    with running_cluster(tmp_path_factory.mktemp("cdc")) as cluster:
        yield cluster


@pytest.fixture
def make_pair(cdc_cluster: Cluster) -> Iterator[Callable[[], Pair]]:
    """Make pairs of databases that are dropped after the test."""
    pairs: list[Pair] = []

    def make() -> Pair:
        pairs.append(cdc_cluster.make_pair())
        return pairs[-1]

    yield make
    for pair in pairs:
        cdc_cluster.drop_pair(pair)


@pytest.fixture
def pair(make_pair: Callable[[], Pair]) -> Pair:
    """An order database and its warehouse."""
    return make_pair()
