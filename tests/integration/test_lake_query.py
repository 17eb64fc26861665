"""SQL over the lake: the right rows from the files of its days, earlier snapshots, only reading, and an end in time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from fleetflow.cli import app
from fleetflow.faults import UserError
from fleetflow.lake import open_lake
from fleetflow.local.stack import running
from fleetflow.settings import Settings
from ingestion.lake.query import QueryError, QueryTimeoutError, run_query
from ingestion.lake.read import data_files, day_of
from ingestion.lake.tables import Lake
from tests.integration.lake_stack import DAY, compact_all, gps, lake_of_its_own, land, status

GPS = "gps_location"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lake of three days, compacted in two steps."""
    with running(tmp_path_factory.mktemp("lake-query")) as stack, lake_of_its_own(stack) as own:
        land(own, GPS, [gps("a", 10, "v1"), gps("b", 20, "v2"), gps("c", 1450, "v1", driver_id="d1")])
        land(own, "shipment_event", [status("s", 10)])
        compact_all(own)
        land(own, GPS, [gps("d", 2900, "v3")])
        compact_all(own)
        yield own


@pytest.fixture(scope="module")
def lake(settings: Settings) -> Lake:
    return open_lake(settings, "ops")


def rows(lake: Lake, query: str, **options: Any) -> list[tuple[Any, ...]]:
    with run_query(lake, query, **options) as reader:
        return [tuple(row.values()) for batch in reader for row in batch.to_pylist()]


def test_counts_groups_and_joins(lake: Lake) -> None:
    assert rows(lake, f"select vehicle_id, count(*) from {GPS} group by 1 order by 1") == [
        ("v1", 2), ("v2", 1), ("v3", 1),
    ]  # fmt: skip
    assert rows(lake, f"select count(*) from {GPS} cross join shipment_event") == [(4,)]
    assert rows(lake, f"select event_id from {GPS} where driver_id is null order by fixed_at") == [
        ("a",), ("b",), ("d",),
    ]  # fmt: skip
    assert rows(lake, f"select max(fixed_at) from {GPS} where fixed_at < '2026-03-11'") == [
        (datetime(2026, 3, 10, 0, 20, tzinfo=UTC),)
    ]


def test_a_query_by_time_opens_only_the_files_of_its_days(settings: Settings, lake: Lake) -> None:
    table = lake.find(GPS)
    assert table is not None
    (other,) = [f for f in data_files(table, "fixed_at") if day_of(f).day == 12]
    path = lake.path(other.file_path)
    kept = lake.files.open_input_file(path).read()
    lake.files.delete_file(path)
    try:
        assert rows(lake, f"select count(*) from {GPS} where fixed_at < '2026-03-12'") == [(3,)]
        with pytest.raises(QueryError):
            rows(lake, f"select count(distinct event_id) from {GPS}")
    finally:
        with lake.files.open_output_stream(path) as stream:
            stream.write(kept)
    assert rows(lake, f"select count(distinct event_id) from {GPS}") == [(4,)]


def test_tables_are_read_as_they_were(lake: Lake) -> None:
    table = lake.find(GPS)
    assert table is not None
    first, second = sorted(table.metadata.snapshots, key=lambda snapshot: snapshot.timestamp_ms)
    count = f"select count(*) from {GPS}"
    assert rows(lake, count, at=first.snapshot_id) == [(3,)]
    assert rows(lake, count, at=second.snapshot_id) == [(4,)]
    assert rows(lake, count, at=datetime.fromtimestamp((second.timestamp_ms - 1) / 1000, UTC)) == [(3,)]
    assert rows(lake, count, at=datetime.now(UTC)) == [(4,)]
    assert rows(lake, "select count(*) from shipment_event", at=second.snapshot_id) == [(1,)]
    with pytest.raises(QueryError, match="no snapshot is as old as 2026-03-10"):
        rows(lake, count, at=DAY)
    with pytest.raises(QueryError, match="no table has snapshot 123"):
        rows(lake, count, at=123)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (
            "select * from gps_locations",
            "no table gps_locations in the lake; there are: gps_location, shipment_event",
        ),
        ("select nothing from gps_location", "nothing"),
        ("selec 1", "syntax error"),
        ("create table t as select 1", "one SELECT statement; this is CREATE"),
        ("copy gps_location to '/tmp/out.csv'", "one SELECT statement; this is COPY"),
        ("select 1; select 2", "one SELECT statement; this is SELECT, SELECT"),
        ("select * from read_csv('/etc/passwd')", "disabled"),
        ("select * from '/etc/passwd'", "passwd"),
        ("", "this is nothing"),
    ],
)
def test_what_is_no_reading_of_the_lake_is_refused(lake: Lake, query: str, words: str) -> None:
    with pytest.raises(QueryError, match=words):
        rows(lake, query)


def test_a_query_ends_in_its_time(lake: Lake) -> None:
    endless = (
        "select count(*) from range(1000000000) as a, range(1000000) as b where (a.range * b.range) % 7 = 3"
    )
    with pytest.raises(QueryTimeoutError, match=r"did not end within 0\.3 s"):
        rows(lake, endless, timeout_s=0.3)


@pytest.fixture
def fleetflow(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setattr("fleetflow.settings.load_settings", lambda *_: settings)
    return CliRunner()


def test_the_command_prints_a_table_json_or_csv(fleetflow: CliRunner) -> None:
    query = f"select vehicle_id, driver_id, fixed_at from {GPS} where fixed_at >= '2026-03-11' order by 3"
    shown = fleetflow.invoke(app, ["lake", "sql", query]).stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["vehicle_id", "driver_id", "fixed_at"],
        ["v1", "d1", "2026-03-11T00:10:00+00:00"],
        ["v3", "null", "2026-03-12T00:20:00+00:00"],
        ["(2", "rows)"],
    ]
    as_json = fleetflow.invoke(app, ["lake", "sql", query, "--json"]).stdout.splitlines()
    assert json.loads(as_json[1]) == {
        "vehicle_id": "v3", "driver_id": None, "fixed_at": "2026-03-12T00:20:00+00:00",
    }  # fmt: skip
    as_csv = list(csv.reader(io.StringIO(fleetflow.invoke(app, ["lake", "sql", query, "--csv"]).stdout)))
    assert as_csv == [
        ["vehicle_id", "driver_id", "fixed_at"],
        ["v1", "d1", "2026-03-11T00:10:00+00:00"],
        ["v3", "", "2026-03-12T00:20:00+00:00"],
    ]
    nothing = fleetflow.invoke(app, ["lake", "sql", f"select * from {GPS} where lat > 90"]).stdout
    assert nothing == "(0 rows)\n"


def test_the_command_tells_users_what_is_wrong(fleetflow: CliRunner) -> None:
    for arguments, words in (
        (["select 1", "--at", "soon"], "neither a snapshot's id nor a time"),
        (["select 1 from nowhere"], "there is no table nowhere"),
        (["select 1", "--json", "--csv"], "exclude each other"),
    ):
        fault = fleetflow.invoke(app, ["lake", "sql", *arguments]).exception
        assert isinstance(fault, UserError)
        assert words in str(fault)


def test_status_and_compact_by_command(fleetflow: CliRunner) -> None:
    found = [
        json.loads(line) for line in fleetflow.invoke(app, ["lake", "status", "--json"]).stdout.splitlines()
    ]
    assert {feed["feed"]: feed["rows"] for feed in found} == {
        GPS: 4, "shipment_event": 1, "driver_assignment_event": 0, "driver_activity": 0, "can_frame": 0,
        "fuel_purchase": 0, "service_record": 0, "signal": 0,
    }  # fmt: skip
    assert fleetflow.invoke(app, ["lake", "status"]).stdout.splitlines()[0].startswith("feed ")
    assert "nothing waits" in fleetflow.invoke(app, ["lake", "compact"]).stdout
    done = fleetflow.invoke(app, ["lake", "maintain", "--json"])
    assert [json.loads(line)["feed"] for line in done.stdout.splitlines()] == [feed["feed"] for feed in found]
