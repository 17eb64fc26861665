"""Raw objects become Iceberg rows: each content once, on the day of its event, however it was cut and repeated."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.expressions import GreaterThanOrEqual

from domain.contracts import FEEDS
from domain.contracts.model import Column, Text
from fleetflow.lake import catalog_properties, lake_status, open_catalog, open_lake
from fleetflow.local.aws import play_outage
from fleetflow.local.stack import running
from fleetflow.runtime import client, connect, raw_filesystem
from fleetflow.settings import Settings
from fleetflow.transform import PipelineBusyError, claim
from ingestion.lake.read import count_rows, data_files, days, scan_rows
from ingestion.lake.schema import LakeSchemaError
from ingestion.lake.tables import NAMESPACE, make_lake
from tests.integration.lake_stack import (
    DAY,
    EVER,
    compact_all,
    contents,
    gps,
    lake_of_its_own,
    lake_rows,
    land,
    ledger,
    some_positions,
    sql,
    status,
)  # fmt: skip

GPS = "gps_location"


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
        land(lake, GPS, rows[start : start + 300])
    land(lake, "shipment_event", [status("a", 10), status("b", 20), status("a", 10)])
    compact_all(lake)
    distinct = Counter(set(contents(GPS, rows)))
    assert lake_rows(lake, GPS) == distinct
    assert lake_rows(lake, "shipment_event") == contents("shipment_event", [status("a", 10), status("b", 20)])
    assert ledger(lake) == [
        (GPS, len(rows), len(distinct), len(rows) - len(distinct)),
        ("shipment_event", 3, 2, 1),
    ]
    assert sql(lake, "select count(*) from ops.pending_batch where pipeline = 'lake'") == [(0,)]
    assert sql(lake, "select count(*) from ops.lake_announcement") == [(0,)]


def test_any_cut_into_claims_gives_the_same_rows(lake: Settings) -> None:
    rows = some_positions(600, seed=7)
    for start in range(0, len(rows), 100):
        land(lake, GPS, rows[start : start + 100])
    rounds = compact_all(lake, row_limit=200)
    assert len(rounds) >= 3
    distinct = Counter(set(contents(GPS, rows)))
    assert lake_rows(lake, GPS) == distinct
    assert ledger(lake) == [(GPS, len(rows), len(distinct), len(rows) - len(distinct))]


def test_what_the_days_hold_is_not_taken_again(lake: Settings) -> None:
    land(lake, GPS, [gps("a", 10), gps("b", 20)])
    compact_all(lake)
    corrected = gps("b", 20, speed_kmh=31.0)
    other_tenant = gps("a", 10, tenant_id="globex")
    land(lake, GPS, [gps("a", 10), corrected, gps("c", 30), other_tenant])
    compact_all(lake)
    expected = [gps("a", 10), gps("b", 20), corrected, gps("c", 30), other_tenant]
    assert lake_rows(lake, GPS) == contents(GPS, expected)
    assert ledger(lake) == [(GPS, 6, 5, 1)]


def test_late_rows_go_to_their_own_day(lake: Settings) -> None:
    land(lake, GPS, [gps("today", 100)])
    compact_all(lake)
    land(lake, GPS, [gps("late", -2 * 1440 + 5), gps("edge", 1440 - 1 / 60_000_000)])
    compact_all(lake)
    at = open_lake(lake)
    assert [(d.day, d.rows) for d in days(at, GPS)] == [(date(2026, 3, 8), 1), (date(2026, 3, 10), 2)]
    assert count_rows(at, GPS, DAY, DAY + timedelta(days=1)) == 2
    assert count_rows(at, GPS, DAY - timedelta(days=2), DAY - timedelta(days=1)) == 1
    assert count_rows(at, GPS, DAY, DAY + timedelta(minutes=100)) == 0
    assert count_rows(at, GPS, DAY, DAY + timedelta(minutes=101)) == 1


def test_rows_know_the_batch_and_the_record_they_came_from(lake: Settings) -> None:
    batch = land(lake, GPS, [gps("a", 10), gps("b", 20)])
    compact_all(lake)
    columns = ["event_id", "batch_id", "stream_sequence", "sub_sequence"]
    found = [row for b in scan_rows(open_lake(lake), GPS, *EVER, columns=columns) for row in b.to_pylist()]
    assert {row["batch_id"] for row in found} == {batch}
    assert len({row["stream_sequence"] for row in found}) == 2
    assert {row["sub_sequence"] for row in found} == {0}


def test_partner_rows_come_in_too(lake: Settings) -> None:
    at = DAY + timedelta(hours=3)
    row = {
        "tenant_id": "acme", "event_id": "p1", "recorded_at": at, "schema_version": 1, "partner": "cards",
        "source_line": 2, "transaction_id": "t1", "vehicle_id": "v1", "driver_id": None, "purchased_at": at,
        "fuel": "diesel", "volume_l": 80.5, "amount_minor": 13_000, "currency": "EUR", "station_id": None,
        "country": "DE", "lat": None, "lon": None, "odometer_km": None,
    }  # fmt: skip
    land(lake, "fuel_purchase", [row], source="partner")
    compact_all(lake)
    assert lake_rows(lake, "fuel_purchase") == contents("fuel_purchase", [row])


def test_what_a_backfill_lands_again_does_not_come_in(lake: Settings) -> None:
    land(lake, GPS, [gps("a", 10)])
    land(lake, GPS, [gps("a", 10)], source="backfill")
    compact_all(lake)
    assert ledger(lake) == [(GPS, 1, 1, 0)]


def test_a_batch_that_cannot_be_read_waits_and_harms_no_other(lake: Settings) -> None:
    lost = land(lake, GPS, [gps("lost", 10)])
    short = land(lake, GPS, [gps("short", 15)])
    land(lake, GPS, [gps("fine", 20)])
    keys = dict(sql(lake, "select batch_id, object_key from ops.batch"))
    s3 = client(lake, "s3")
    body = s3.get_object(Bucket=lake.raw_bucket, Key=keys[lost])["Body"].read()
    s3.delete_object(Bucket=lake.raw_bucket, Key=keys[lost])
    sql(lake, "update ops.batch set accepted = 2, events_read = 2 where batch_id = %s returning 1", short)
    rounds = compact_all(lake)
    reasons = {one.batch.batch_id: one.reason for done in rounds for r in done.feeds for one in r.left_out}
    assert "is not in the raw bucket" in reasons[lost]
    assert "has 1 rows, the ledger says 2" in reasons[short]
    assert lake_rows(lake, GPS) == contents(GPS, [gps("fine", 20)])
    s3.put_object(Bucket=lake.raw_bucket, Key=keys[lost], Body=body)
    compact_all(lake)
    assert lake_rows(lake, GPS) == contents(GPS, [gps("fine", 20), gps("lost", 10)])
    assert sql(lake, "select batch_id from ops.pending_batch where pipeline = 'lake'") == [(short,)]


def test_two_compactors_keep_apart(lake: Settings) -> None:
    land(lake, GPS, [gps("a", 10)])
    with connect(lake.dsn("loader"), autocommit=True) as conn:
        claim(conn, "lake")
    land(lake, GPS, [gps("b", 10)])
    with pytest.raises(PipelineBusyError):
        compact_all(lake)


def test_s3_away_for_a_while_is_waited_for(lake: Settings) -> None:
    rows = some_positions(300, seed=3)
    land(lake, GPS, rows)
    assert lake.aws_endpoint_url is not None
    port = int(lake.aws_endpoint_url.rpartition(":")[2])
    seen: list[str] = []

    def step(name: str) -> None:
        if name in ("claimed", "planned", "announced"):
            seen.append(name)
            play_outage(port, {"s3": 1.5})

    started = time.monotonic()
    compact_all(lake, step=step)
    assert time.monotonic() - started > 3 * 1.4, "no outage was met"
    assert seen == ["claimed", "planned", "announced"]
    assert lake_rows(lake, GPS) == Counter(set(contents(GPS, rows)))


def test_any_iceberg_reader_sees_the_same_rows(lake: Settings) -> None:
    rows = some_positions(500, seed=5)
    land(lake, GPS, rows)
    compact_all(lake)
    expected = Counter(set(contents(GPS, rows)))
    table = load_catalog("fleetflow", **catalog_properties(lake, "ops")).load_table((NAMESPACE, GPS))
    names = FEEDS[GPS].names
    plain = table.scan().to_arrow().select(names)
    assert contents(GPS, plain.to_pylist()) == expected
    # pruned by the day of the event
    last_day = table.scan(row_filter=GreaterThanOrEqual("fixed_at", "2026-03-12T00:00:00+00:00"))
    assert {str(task.file.partition[0]) for task in last_day.plan_files()} == {"20524"}
    # the files themselves, without Iceberg
    files = [task.file.file_path.removeprefix("s3://") for task in table.scan().plan_files()]
    held = pyarrow.concat_tables([pq.read_table(f, filesystem=raw_filesystem(lake)) for f in files])
    assert contents(GPS, held.select(names).to_pylist()) == expected
    with duckdb.connect() as engine:
        engine.register("held", held)
        assert engine.execute("select count(*), count(distinct event_id) from held").fetchall() == [
            (len(expected), len({row[1] for row in expected}))
        ]
    assert (table.format_version, table.location()) == (2, f"s3://{lake.lake_bucket}/{GPS}")
    assert all(
        "ARROW:schema" not in str(pq.read_metadata(f, filesystem=raw_filesystem(lake)).metadata)
        for f in files
    )


def test_files_are_sorted_by_entity_and_time(lake: Settings) -> None:
    land(lake, GPS, some_positions(500, seed=9))
    compact_all(lake)
    at = open_lake(lake)
    table = at.find(GPS)
    assert table is not None
    for file in data_files(table, "fixed_at"):
        found = pq.read_table(
            at.path(file.file_path), filesystem=at.files, columns=["vehicle_id", "fixed_at"]
        )
        rows = [tuple(row.values()) for row in found.to_pylist()]
        assert rows == sorted(rows)
        assert file.sort_order_id == table.metadata.default_sort_order_id == 1


def test_a_minor_version_adds_a_column_and_old_rows_have_none(lake: Settings) -> None:
    land(lake, GPS, [gps("old", 10)])
    compact_all(lake)
    contract = FEEDS[GPS]
    newer = replace(
        contract, minor=1, columns=(*contract.columns, Column("note", Text(), "New", nullable=True))
    )
    before = open_lake(lake).table(GPS).schema()
    at = make_lake(
        open_catalog(lake), f"s3://{lake.lake_bucket}", raw_filesystem(lake), {**FEEDS, GPS: newer}
    )
    assert at.table(GPS).schema().find_field("note").field_id == before.highest_field_id + 1
    assert [f.field_id for f in at.table(GPS).schema().fields[:-1]] == [f.field_id for f in before.fields]
    land(lake, GPS, [gps("new", 20), gps("old", 10)])  # an object from before the change
    compact_all(lake, lake=at)
    rows = [row for b in scan_rows(at, GPS, *EVER, columns=["event_id", "note"]) for row in b.to_pylist()]
    assert sorted(rows, key=str) == [{"event_id": "new", "note": None}, {"event_id": "old", "note": None}]
    required = replace(contract, columns=(*contract.columns, Column("must", Text(), "New")))
    with pytest.raises(LakeSchemaError, match="must is new and required"):
        make_lake(at.catalog, at.location, at.files, {GPS: required}).table(GPS)


def test_status_says_what_is_there_and_what_waits(lake: Settings) -> None:
    land(lake, GPS, [gps("a", 10), gps("b", 1450)])
    compact_all(lake)
    land(lake, GPS, [gps("c", 30)])
    found = {status.feed: status for status in lake_status(lake)}
    here = found[GPS]
    assert (here.rows, here.days, here.files, here.first_day, here.last_day) == (
        2,
        2,
        2,
        "2026-03-10",
        "2026-03-11",
    )
    assert (here.waiting_batches, here.waiting_rows) == (1, 1)
    assert here.oldest_waiting_s is not None
    assert here.snapshot_at is not None
    assert datetime.fromisoformat(here.snapshot_at) > datetime.now(UTC) - timedelta(minutes=5)
    empty = found["service_record"]
    assert (empty.rows, empty.snapshot_id, empty.waiting_batches, empty.oldest_waiting_s) == (
        0,
        None,
        0,
        None,
    )
