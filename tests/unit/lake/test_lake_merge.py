"""Merging: the same rows in one order over all ranges and files, be the files sorted or not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile

from domain.contracts import FEEDS
from ingestion.lake import maintain, merge
from ingestion.lake.commit import append
from ingestion.lake.files import Chosen, sorted_by_entity, write_day
from ingestion.lake.objects import conform, lake_schema
from ingestion.lake.read import data_files, scan_rows
from ingestion.lake.schema import lake_columns
from ingestion.lake.tables import Lake, make_lake
from tests.integration.lake_stack import DAY, EVER, gps

GPS = FEEDS["gps_location"]
NUMBER = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    catalog = SqlCatalog("fleetflow", uri=f"sqlite:///{tmp_path}/catalog.db")
    yield make_lake(catalog, f"file://{tmp_path}/lake", LocalFileSystem())
    catalog.engine.dispose()


def write(lake: Lake, seed: int, *, in_order: bool) -> DataFile:
    """Write a file of 200 positions of one day."""
    dice = random.Random(seed)
    rows = [gps(f"e{seed}-{i}", dice.uniform(0, 1439), f"v{dice.randrange(40):02d}") for i in range(200)]
    table = pa.Table.from_pylist(rows).append_column("batch_id", pa.array([seed] * 200))
    table = conform(table, lake_schema(GPS, lake_columns(GPS)))
    done = sorted_by_entity(GPS, [Chosen(table)]) if in_order else table
    return write_day(lake, lake.table(GPS.name), done, NUMBER, "test")


def all_rows(lake: Lake) -> list[tuple[object, ...]]:
    batches = scan_rows(lake, GPS.name, *EVER)
    return sorted(tuple(row.values()) for batch in batches for row in batch.to_pylist())  # type: ignore[type-var]


@pytest.mark.parametrize(("range_rows", "file_bytes"), [(70, 1 << 30), (1 << 18, 1 << 30), (50, 4_000)])
def test_a_day_is_merged_in_one_order(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, range_rows: int, file_bytes: int
) -> None:
    monkeypatch.setattr(merge, "RANGE_ROWS", range_rows)
    monkeypatch.setattr(merge, "TARGET_FILE_BYTES", file_bytes)
    files = [write(lake, seed, in_order=seed != 3) for seed in range(5)]
    append(lake, lake.table(GPS.name), files, uuid4(), lambda: None)
    before = all_rows(lake)
    table = lake.table(GPS.name)
    days = maintain.mergeable_days(lake, GPS.name, table, DAY + timedelta(days=1, hours=3))
    assert {day: len(found) for day, found in days.items()} == {date(2026, 3, 10): 5}
    assert maintain.mergeable_days(lake, GPS.name, table, DAY + timedelta(days=1, hours=1)) == {}, (
        "not closed"
    )
    count = maintain.merge_day(lake, GPS.name, DAY.date(), days[DAY.date()], tmp_path)
    assert all_rows(lake) == before
    merged = data_files(lake.table(GPS.name), GPS.event_time)
    assert len(merged) == count
    assert (count == 1) == (file_bytes > 10_000)
    ordered = []
    for file in sorted(merged, key=lambda file: bytes(file.lower_bounds[5])):
        held = pq.read_table(lake.path(file.file_path), columns=["vehicle_id", "fixed_at"])
        ordered += [tuple(row.values()) for row in held.to_pylist()]
    assert ordered == sorted(ordered)
    assert list(tmp_path.glob("merge-*")) == []


def test_a_merge_that_another_overtook_changes_nothing(lake: Lake, tmp_path: Path) -> None:
    written = [write(lake, seed, in_order=True) for seed in range(2)]
    append(lake, lake.table(GPS.name), written, uuid4(), lambda: None)
    files = data_files(lake.table(GPS.name), GPS.event_time)
    before = all_rows(lake)
    assert maintain.merge_day(lake, GPS.name, DAY.date(), files, tmp_path) == 1
    assert maintain.merge_day(lake, GPS.name, DAY.date(), files, tmp_path) is None
    assert all_rows(lake) == before
