"""The step `tracks` from landed rows to its tables: an hour of a fleet that it knows, at 1, 2 and 4 times the fleet.

The input is that of `bench tracks` as landing holds it: an hour that a first run has taken in, and the next one, whose
run is measured: claimed rows read, states opened, tracks followed, rows and states written, in a real Postgres. The
limit beside it does what nothing can do without: COPY of the same columns out of landing, and one pass of numpy over
as many rows that only measures the way. Seconds on the clock, with the CPU seconds of this process beside them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import pyarrow as pa

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from domain.contracts.decode import Rows
from domain.tracks import Fixes
from domain.tracks.geo import steps_m
from fleetflow import transform
from fleetflow.bench.landing import peak_mib
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.bench.tracks import START_US, STEP_S, draw_fixes
from fleetflow.runtime import Connection, connect
from fleetflow.settings import Secret, Settings
from fleetflow.vehicles.run import PIPELINE, Work
from fleetflow.vehicles.touched import begin_fold
from fleetflow.vehicles.tracks.reading import COLUMNS
from fleetflow.vehicles.tracks.step import fold_tracks
from ingestion.landing.ledger import BatchEntry, Cut, copy_rows, write_entries

FEED = FEEDS["gps_location"]
HOUR_US = 3_600_000_000
BATCH_ROWS = 25_000
SITES = 2_000


def run_bench(settings: Settings, fixes: int, factors: Sequence[int] = (1, 2, 4)) -> dict[str, Any]:
    """Measure an hour of about `fixes` fixes, and multiples of it; `ratio` is limit / step, by time."""
    return {
        "bench": "trips",
        "runs": {f"{factor}x": _measure(settings, fixes * factor) for factor in factors},
        "peak_mib": peak_mib(),
    }


def _measure(settings: Settings, fixes: int) -> dict[str, Any]:
    vehicles = max(1, fixes * STEP_S // 3600)
    drawn = draw_fixes(vehicles * 2 * 3600 // STEP_S, vehicles)
    first = drawn.fixed_at_us < START_US + HOUR_US
    with scratch_warehouse(settings.dsn("owner")) as name:
        dsns = {role: Secret(with_database(dsn.reveal(), name)) for role, dsn in settings.warehouse.items()}
        scratch = replace(settings, warehouse=dsns)
        with connect(scratch.dsn("owner"), autocommit=True) as conn:
            conn.execute("call ops.set_pseudonym_key('bench')")
            _add_sites(conn)
        _land(scratch, drawn.take(first), 0)
        warm_up, _, _ = _run(scratch)
        hour = drawn.take(~first)
        _land(scratch, hour, len(drawn))
        seconds, cpu, counts = _run(scratch)
        limit = _limit(scratch, hour)
    return {
        "fixes": len(hour),
        "vehicles": vehicles,
        "sites": SITES,
        "first_hour_seconds": warm_up,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "fixes_per_second": len(hour) / seconds,
        "limit_copy_seconds": limit[0],
        "limit_numpy_seconds": limit[1],
        "ratio": sum(limit) / seconds,
        "counted": counts,
    }


def _run(settings: Settings) -> tuple[float, float, dict[str, int]]:
    with connect(settings.dsn("transformer"), autocommit=True) as conn:
        run = transform.claim(conn, PIPELINE, row_limit=2**40)
        assert run is not None
        begin_fold(conn, run.run_id)
        started, cpu = time.perf_counter(), time.process_time()
        counts = fold_tracks(Work(settings, conn, run.run_id))
        seconds = time.perf_counter() - started, time.process_time() - cpu
        transform.mark(conn, run)
    return *seconds, {name: count for name, count in counts.items() if count}


def _limit(settings: Settings, hour: Fixes) -> tuple[float, float]:
    """Return the seconds to copy the newest rows out of landing, and to measure the way once."""
    columns = ", ".join(COLUMNS)
    statement = (
        f"copy (select {columns} from landing.gps_location where batch_id = any(array(select batch_id"
        " from ops.transformed_batch where run_id = (select run_id from ops.transform_run"
        " order by started_at desc limit 1)))) to stdout (format binary)"
    )
    with connect(settings.dsn("transformer")) as conn, conn.cursor() as cursor:
        started = time.perf_counter()
        with cursor.copy(statement.encode()) as copy:
            size = sum(len(block) for block in copy)
        copied = time.perf_counter() - started
    assert size > len(hour)
    started = time.perf_counter()
    steps_m(hour.lat, hour.lon)
    return copied, time.perf_counter() - started


def _add_sites(conn: Connection) -> None:
    dice = np.random.default_rng(8)
    places = zip(dice.uniform(40, 55, SITES).tolist(), dice.uniform(-5, 20, SITES).tolist(), strict=True)
    with conn.cursor() as cursor:
        cursor.executemany(
            "insert into source.sites (site_id, tenant_id, kind, lat, lon, timezone, _lsn, _committed_at, batch_id)"
            " values (%s, 'acme', 'depot', %s, %s, 'Europe/Berlin', '0/1', now(), 0)",
            [(f"site-{at:05d}", lat, lon) for at, (lat, lon) in enumerate(places)],
        )


def _land(settings: Settings, fixes: Fixes, first_event: int) -> None:
    """Land fixes in the order that they have, as the landing worker does."""
    now = time.time_ns() // 1000
    with adbc.connect(settings.dsn("loader")) as conn, conn.cursor() as cursor:
        for start in range(0, len(fixes), BATCH_ROWS):
            part = fixes.take(np.arange(start, min(start + BATCH_ROWS, len(fixes))))
            rows = Rows(
                FEED,
                _as_landed(part, first_event + start),
                np.zeros(len(part), np.int64),
                np.arange(len(part), dtype=np.int64),
            )
            entry = BatchEntry(
                source="stream", feed=FEED.name, stream="gps", shard="0", first_sequence=f"{first_event + start}",
                last_sequence=f"{first_event + start}", records=1, worker="bench", epoch=1, rows=rows, refusals=(),
            )  # fmt: skip
            cut = Cut([""], np.array([now], np.int64))
            write_entries(cursor, copy_rows(cursor, [entry], cut), [entry], cut)
        conn.commit()


def _as_landed(fixes: Fixes, first_event: int) -> pa.Table:
    count = len(fixes)
    moment = pa.timestamp("us", "UTC")
    at = pa.array(fixes.fixed_at_us).cast(moment)
    vehicles = pa.array([f"vehicle-{n:06d}" for n in range(int(fixes.vehicle.max()) + 1)])
    nothing = pa.nulls(count, pa.float64())
    numbers = range(first_event, first_event + count)
    columns = {
        "tenant_id": pa.repeat("acme", count),
        "event_id": pa.array([str(UUID(int=number)) for number in numbers]),
        "recorded_at": at,
        "schema_version": pa.array(np.ones(count, np.int16)),
        "vehicle_id": vehicles.take(pa.array(fixes.vehicle)),
        "driver_id": pa.array([f"driver-{n:06d}" for n in range(len(vehicles))]).take(
            pa.array(fixes.vehicle)
        ),
        "fixed_at": at,
        "lat": fixes.lat,
        "lon": fixes.lon,
        "speed_kmh": fixes.speed_kmh,
        "heading_deg": np.zeros(count),
        "altitude_m": nothing,
        "accuracy_m": nothing,
        "odometer_km": fixes.odometer_km,
        "fuel_level_pct": nothing,
        "ignition_on": pa.array(fixes.ignition == 1),
    }
    return pa.table(columns, schema=arrow_schema(FEED))
