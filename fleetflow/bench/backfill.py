"""How fast a day of positions comes back from the lake into landing, verified, beside bare COPY of the same rows.

The work: Iceberg tables by event day on disk, `run_backfill` in a process of its own, chunk by chunk with ledger, state
and verification. Measured for 1, 2 and 4 units of the range, so that growth shows. The limit, in the same run: binary
COPY of such rows, encoded beforehand, into the same table.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from fleetflow.bench.landing import _copy, _encoded, _seconds, peak_mib
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.lake import open_catalog
from fleetflow.runtime import connect
from fleetflow.settings import Secret, Settings, load_settings
from ingestion.backfill.model import Span
from ingestion.lake.read import arrow_schema as table_schema
from ingestion.lake.tables import Lake, make_lake

FEED = FEEDS["gps_location"]
FIRST_DAY = datetime(2026, 1, 5, tzinfo=UTC)
_APPEND_ROWS = 1_000_000
_LIMIT_ROWS = 500_000
_VEHICLES = 5000


def positions(first: int, count: int, day: datetime) -> pa.Table:
    """Make positions of one day, the vehicles one after the other."""
    number = np.arange(first, first + count)
    at = int(day.timestamp() * 1_000_000) + (number * 7919 % 86_400_000) * 1000
    vehicle = pa.array(number % _VEHICLES).cast(pa.string())
    values: dict[str, Any] = {
        "tenant_id": pa.array(["acme"]).take(pa.array(np.zeros(count, np.int64))),
        "event_id": pa.array(number + 10**15).cast(pa.string()),
        "recorded_at": pa.array(at + 900_000).cast(pa.timestamp("us", "UTC")),
        "schema_version": pa.array(np.ones(count, np.int16)),
        "vehicle_id": vehicle,
        "driver_id": vehicle,
        "fixed_at": pa.array(at).cast(pa.timestamp("us", "UTC")),
        "lat": pa.array((number % 120_000) / 1000 - 60),
        "lon": pa.array((number % 340_000) / 1000 - 170),
        "speed_kmh": pa.array((number % 1200) / 10),
        "heading_deg": pa.array((number % 360).astype(np.float64)),
        "odometer_km": pa.array(number * 0.1),
        "ignition_on": pa.array(np.ones(count, bool)),
    }
    schema = arrow_schema(FEED)
    return pa.table(
        [values.get(field.name, pa.nulls(count, field.type)) for field in schema], names=schema.names
    ).cast(pa.schema([pa.field(f.name, f.type) for f in schema]))


def fill_lake(lake: Lake, days: int, rows: int) -> None:
    """Write days of positions, sorted as compaction sorts them."""
    table = lake.table(FEED.name)
    for day in range(days):
        for first in range(0, rows, _APPEND_ROWS):
            count = min(_APPEND_ROWS, rows - first)
            made = positions(day * rows + first, count, FIRST_DAY + timedelta(days=day))
            made = made.sort_by([("vehicle_id", "ascending"), ("fixed_at", "ascending")])
            made = made.append_column("stream_sequence", pa.nulls(count, pa.string()))
            made = made.append_column("sub_sequence", pa.nulls(count, pa.int32()))
            made = made.append_column("batch_id", pa.array(np.zeros(count, np.int64)))
            table.append(made.cast(table_schema(table.schema())))


def local_lake(settings: Settings, directory: Path) -> Lake:
    """Return a lake whose files lie on disk and whose catalog is in the warehouse of the settings."""
    from pyarrow.fs import LocalFileSystem

    return make_lake(open_catalog(settings), f"file://{directory}", LocalFileSystem())


def backfill_once(
    home: Path, warehouse: dict[str, str], directory: Path, days: int, in_flight: int
) -> dict[str, Any]:
    """Backfill days in this process; return seconds, rows and the peak of its memory in MiB."""
    from time import perf_counter

    from fleetflow.backfill import Request, run_backfill
    from fleetflow.lake_archive import LakeArchive

    settings = replace(load_settings(home), warehouse={r: Secret(d) for r, d in warehouse.items()})
    archive = LakeArchive(settings, FEED, local_lake(settings, directory))
    request = Request(
        FEED.name, Span(FIRST_DAY, FIRST_DAY + timedelta(days=days)), "bench", in_flight=in_flight
    )
    started = perf_counter()
    outcome = run_backfill(settings, request, archive=archive)
    return {
        "seconds": perf_counter() - started,
        "state": outcome.state,
        "rows": outcome.progress.rows_verified,
        "chunks": outcome.progress.chunks,
        "peak_mib": peak_mib(),
    }


def run_bench(
    settings: Settings, rows: int = 10_000_000, units: Sequence[int] = (1, 2, 4), in_flight: int = 2
) -> dict[str, Any]:
    """Backfill 1, 2, 4 (`units`) days of `rows` positions each; return rows a second, memory, and the limit."""
    with scratch_warehouse(settings.dsn("owner")) as name, tempfile.TemporaryDirectory() as directory:
        warehouse = {role: with_database(dsn.reveal(), name) for role, dsn in settings.warehouse.items()}
        bench = replace(settings, warehouse={r: Secret(d) for r, d in warehouse.items()})
        lake = local_lake(bench, Path(directory))
        fill_lake(lake, max(units), rows)
        results = []
        for days in units:
            result = _in_a_process(settings.home, warehouse, directory, days, in_flight)
            with connect(warehouse["owner"], autocommit=True) as conn:
                conn.execute("truncate landing.gps_location")
                conn.execute("truncate ops.backfill, ops.batch cascade")
            results.append(_figures(days, rows, result))
        limit = _limit(warehouse["owner"], min(rows, _LIMIT_ROWS))
    return {
        "benchmark": "backfill",
        "rows_per_unit": rows,
        "rows_per_s": results[0]["rows_per_s"],
        "limit_copy_per_s": limit,
        "share_of_limit": round(results[0]["rows_per_s"] / limit, 3),
        "peak_mib": max(result["peak_mib"] for result in results),
        "seconds_per_unit": {str(r["units"]): round(r["seconds"] / r["units"], 2) for r in results},
        "cores": os.cpu_count(),
        "runs": results,
    }


def _figures(units: int, rows: int, result: dict[str, Any]) -> dict[str, Any]:
    if result["state"] != "done" or result["rows"] != units * rows:
        raise RuntimeError(f"{result['rows']:,} of {units * rows:,} rows came back, state {result['state']}")
    return {
        "units": units,
        "seconds": round(result["seconds"], 2),
        "rows_per_s": round(result["rows"] / result["seconds"]),
        "peak_mib": round(result["peak_mib"]),
        "chunks": result["chunks"],
    }


def _limit(dsn: str, count: int) -> int:
    """Return rows a second of binary COPY alone."""
    table = positions(0, count, FIRST_DAY)
    table = table.append_column("batch_id", pa.array(np.zeros(count, np.int64)))
    table = table.append_column("line", pa.array(np.arange(count, dtype=np.int32)))
    now = int(datetime.now(UTC).timestamp() * 1_000_000)
    table = table.append_column("arrived_at", pa.array(np.full(count, now)).cast(pa.timestamp("us", "UTC")))
    encoded = _encoded(dsn, table)
    with psycopg.connect(dsn) as conn:
        return round(count / _seconds(lambda: _copy(conn, encoded)))


def _in_a_process(
    home: Path, warehouse: dict[str, str], directory: str, days: int, in_flight: int
) -> dict[str, Any]:
    job = {
        "home": str(home),
        "warehouse": warehouse,
        "directory": directory,
        "days": days,
        "in_flight": in_flight,
    }
    done = subprocess.run(
        [sys.executable, "-m", "fleetflow.bench.backfill"],
        input=json.dumps(job), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the measured process failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


if __name__ == "__main__":
    told = json.load(sys.stdin)
    facts = backfill_once(
        Path(told["home"]), told["warehouse"], Path(told["directory"]), told["days"], told["in_flight"]
    )
    sys.stdout.write(json.dumps(facts) + "\n")
