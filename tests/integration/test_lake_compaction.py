"""Raw objects become Iceberg rows: each content once, on the day of its event, however it was cut and repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetflow.lake import open_lake
from fleetflow.local.stack import running
from fleetflow.settings import Settings
from ingestion.lake.read import count_rows, days
from tests.integration.lake_stack import (
    DAY, EVER, compact_all, contents, gps, lake_of_its_own, lake_rows, land, ledger, some_positions, sql, status,
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running(tmp_path_factory.mktemp("lake")) as settings:
        yield settings


@pytest.fixture
def lake(stack: Settings) -> Iterator[Settings]:
    with lake_of_its_own(stack) as settings:
        yield settings


def test_each_content_comes_in_once(lake: Settings) -> None:
    rows = some_positions(2_000)
    for start in range(0, len(rows), 300):
        land(lake, "gps_location", rows[start : start + 300])
    land(lake, "shipment_event", [status("a", 10), status("b", 20), status("a", 10)])
    compact_all(lake)
    distinct = Counter(set(contents("gps_location", rows)))
    assert lake_rows(lake, "gps_location") == distinct
    assert lake_rows(lake, "shipment_event") == contents("shipment_event", [status("a", 10), status("b", 20)])
    assert ledger(lake) == [
        ("gps_location", len(rows), len(distinct), len(rows) - len(distinct)),
        ("shipment_event", 3, 2, 1),
    ]
    assert sql(lake, "select count(*) from ops.pending_batch where pipeline = 'lake'") == [(0,)]
