"""The same tables by Glue: chosen by a setting, made, committed to and read through AWS's catalog."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from moto import mock_aws
from pyarrow.fs import LocalFileSystem
from pyiceberg.catalog.glue import GlueCatalog

from domain.contracts import FEEDS
from fleetflow.lake import open_catalog, open_lake
from fleetflow.settings import SettingsError, load_settings
from ingestion.lake.commit import OvertakenError, append
from ingestion.lake.files import Chosen, sorted_by_entity, write_day
from ingestion.lake.objects import conform, lake_schema
from ingestion.lake.read import count_rows
from ingestion.lake.schema import lake_columns
from ingestion.lake.tables import make_lake
from tests.integration.lake_stack import DAY, gps

GPS = FEEDS["gps_location"]


def test_the_catalog_is_one_of_two(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FLEETFLOW_LAKE_CATALOG='hive' is not one of sql, glue"):
        load_settings(tmp_path, {"FLEETFLOW_LAKE_CATALOG": "hive"})


@mock_aws
def test_tables_live_in_glue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    settings = load_settings(tmp_path, {"FLEETFLOW_LAKE_CATALOG": "glue", "AWS_REGION": "eu-west-1"})
    assert open_lake(replace(settings, lake_bucket="elsewhere")).location == "s3://elsewhere"
    catalog = open_catalog(settings)
    assert isinstance(catalog, GlueCatalog)
    lake = make_lake(catalog, f"file://{tmp_path}/lake", LocalFileSystem())
    base = lake.table(GPS.name)

    import pyarrow as pa

    rows = pa.Table.from_pylist([gps("b", 20), gps("a", 10)])
    rows = rows.append_column("batch_id", pa.array([1, 1]))
    day = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days
    part = Chosen(conform(rows, lake_schema(GPS, lake_columns(GPS))))
    file = write_day(lake, base, sorted_by_entity(GPS, [part]), day, "test")
    snapshot = append(lake, base, [file], uuid4(), lambda: None)
    assert count_rows(lake, GPS.name, DAY, DAY.replace(day=11)) == 2
    assert lake.table(GPS.name).metadata.current_snapshot_id == snapshot
    with pytest.raises(OvertakenError):
        append(lake, base, [file], uuid4(), lambda: None)
