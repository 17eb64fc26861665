"""However events are repeated, corrected, shuffled and cut into objects and claims: the lake holds each content once.

The reference is a set of rows in plain Python. The lake is a real one: its catalog in SQLite, its files on disk.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow.fs import LocalFileSystem
from pyiceberg.catalog.sql import SqlCatalog

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from ingestion.lake.compact import Work, compact_feed
from ingestion.lake.objects import RawBatch, RawObjects
from ingestion.lake.read import scan_rows
from ingestion.lake.tables import Lake, make_lake
from tests.integration.lake_stack import EVER, contents, gps

GPS = FEEDS["gps_location"]
NO_LEDGER: Any = SimpleNamespace(execute=lambda *_: None)  # the ledger has tests of its own

positions = st.builds(
    gps,
    event_id=st.sampled_from(["a", "b", "c"]),
    minutes=st.sampled_from([0, 1, 1439.5, 1440, -3000]),
    vehicle=st.sampled_from(["v1", "v2"]),
    driver_id=st.sampled_from([None, "", "d1"]),
    altitude_m=st.sampled_from([None, 0.0, 12.5]),
    tenant_id=st.sampled_from(["acme", "globex"]),
)
claims = st.lists(
    st.lists(st.lists(positions, min_size=1, max_size=12), min_size=1, max_size=3), min_size=1, max_size=3
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(claims=claims)
def test_each_content_once(claims: list[list[list[dict[str, Any]]]]) -> None:
    with TemporaryDirectory() as name:
        directory = Path(name)
        catalog = SqlCatalog("fleetflow", uri=f"sqlite:///{directory}/catalog.db")
        try:
            lake = make_lake(catalog, f"file://{directory}/lake", LocalFileSystem())
            known: set[tuple[Any, ...]] = set()
            for number, objects in enumerate(claims):
                read = [row for rows in objects for row in rows]
                new = set(contents(GPS.name, read)) - known
                known |= new
                intake = take_in(lake, directory, number, objects)
                assert (intake.rows_read, intake.rows_added) == (len(read), len(new))
                assert held(lake) == Counter(known)
        finally:
            catalog.engine.dispose()


def take_in(lake: Lake, directory: Path, number: int, objects: list[list[dict[str, Any]]]) -> Any:
    """Write a claim's raw objects and compact them."""
    batches = []
    for part, rows in enumerate(objects):
        key = f"{number}-{part}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(GPS)), directory / key)
        batches.append(RawBatch(100 * number + part, GPS.name, key, len(rows)))
    raw = RawObjects(lake.files, str(directory), directory)
    work = Work(lake, raw, uuid4(), NO_LEDGER, lambda: None)
    return compact_feed(work, GPS, lake.table(GPS.name), batches).intake


def held(lake: Lake) -> Counter[tuple[Any, ...]]:
    """Every row of the lake."""
    batches = scan_rows(lake, GPS.name, *EVER, columns=list(GPS.names))
    return contents(GPS.name, [row for batch in batches for row in batch.to_pylist()])
