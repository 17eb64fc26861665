"""How fast raw objects become Iceberg rows, with every guarantee on, beside what the machine can do at all.

The work: gps_location rows in raw objects as landing writes them (25,000 rows each), 1 % repeated, 2 % late by up to
two days, announced, committed and marked by the real compaction in a process of its own; objects, tables and catalog
lie on this machine's disk and in its Postgres. The limit, in the same run: a bare Parquet write of the same rows,
unsorted and with its repeats, by one thread and by as many as there are cores.
"""

from __future__ import annotations

import binascii
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from domain.contracts import FEEDS
from domain.contracts.arrow import arrow_schema
from domain.contracts.decode import Rows
from fleetflow.bench.landing import peak_mib
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.settings import Settings

FEED = FEEDS["gps_location"]
OBJECT_ROWS = 25_000
_VEHICLES = 5_000
_PER_SECOND = 1_400
_REPEATED, _LATE = 0.01, 0.02
_LATE_US = 2 * 86_400_000_000
_START_US = int(datetime(2026, 3, 10, 6, tzinfo=UTC).timestamp() * 1_000_000)


@dataclass(frozen=True)
class Job:
    """What the measured process is told on its standard input."""

    loader_dsn: str
    directory: str


def tables(rows: int, seed: int) -> Iterator[pa.Table]:
    """Yield seeded rows in the order of their arrival, an object's worth at a time."""
    dice = np.random.default_rng(seed)
    before: pa.Table | None = None
    for start in range(0, rows, OBJECT_ROWS):
        table = _table(dice, start, min(OBJECT_ROWS, rows - start))
        if before is not None:
            again = dice.integers(0, min(before.num_rows, table.num_rows), int(table.num_rows * _REPEATED))
            table = pa.concat_tables([table.slice(len(again)), before.take(pa.array(again))])
        yield table
        before = table


def _table(dice: np.random.Generator, start: int, count: int) -> pa.Table:
    sent = _START_US + (np.arange(start, start + count) * (1_000_000 / _PER_SECOND)).astype(np.int64)
    delay = np.where(dice.random(count) < _LATE, dice.integers(0, _LATE_US, count), 0)
    vehicle = dice.integers(0, _VEHICLES, count)
    none = pa.nulls(count, pa.float64())
    moment = pa.timestamp("us", "UTC")
    columns = {
        "tenant_id": pa.array(["acme"]).take(pa.array(np.zeros(count, np.int64))),
        "event_id": _hexes(dice, count),
        "recorded_at": pa.array(sent).cast(moment),
        "schema_version": pa.array(np.ones(count, np.int16)),
        "vehicle_id": _names("veh", vehicle),
        "driver_id": _names("drv", vehicle),
        "fixed_at": pa.array(sent - 900_000 - delay).cast(moment),
        "lat": pa.array(dice.uniform(-60, 60, count).round(5)),
        "lon": pa.array(dice.uniform(-170, 170, count).round(5)),
        "speed_kmh": pa.array(dice.uniform(0, 120, count).round(1)),
        "heading_deg": pa.array(dice.integers(0, 360, count).astype(np.float64)),
        "altitude_m": none,
        "accuracy_m": none,
        "odometer_km": pa.array((120_000 + vehicle * 37 + np.arange(start, start + count) * 0.01).round(1)),
        "fuel_level_pct": none,
        "ignition_on": pa.array(np.ones(count, np.bool_)),
    }
    return pa.table(columns, schema=arrow_schema(FEED))


def _names(kind: str, numbers: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array([f"{kind}-{i:05d}" for i in range(_VEHICLES)]).take(pa.array(numbers))


def _hexes(dice: np.random.Generator, count: int) -> pa.Array:
    offsets = np.arange(0, 16 * (count + 1), 16, dtype=np.int32)
    return pa.StringArray.from_buffers(
        count, pa.py_buffer(offsets), pa.py_buffer(binascii.hexlify(dice.bytes(8 * count)))
    )


def write_objects(loader_dsn: str, directory: Path, rows: int, seed: int) -> int:
    """Write the raw objects and their ledger entries; return their bytes."""
    from ingestion.landing.raw_object import ObjectPlace, encode_rows

    entries, size = [], 0
    for number, table in enumerate(tables(rows, seed)):
        place = ObjectPlace(FEED.name, "bench", "0", f"{number}", f"{number}", datetime.now(UTC))
        records = np.arange(table.num_rows, dtype=np.int32) // 400
        sequences = [f"{number:020d}{i:036d}" for i in range(int(records[-1]) + 1)]
        body = encode_rows(
            Rows(FEED, table, records, np.arange(table.num_rows, dtype=np.int32) % 400), sequences, place
        )
        path = directory / place.key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        size += len(body)
        entries.append(
            (FEED.name, f"{number}", f"{number}", table.num_rows, table.num_rows, place.key, len(body))
        )
    with psycopg.connect(loader_dsn) as conn, conn.cursor() as cursor:
        cursor.executemany(
            "insert into ops.batch (source, feed, stream, shard, first_sequence, last_sequence, events_read, accepted,"
            " rejected, object_key, object_bytes, worker)"
            " values ('stream', %s, 'bench', '0', %s, %s, %s, %s, 0, %s, %s, 'bench')",
            entries,
        )
    return size


def compact_once(job: Job) -> dict[str, Any]:
    """Compact everything that waits, in this process; return seconds, counts and its peak of memory in MiB."""
    from pyarrow import fs

    from fleetflow.lake import compact, open_catalog
    from fleetflow.settings import load_settings
    from ingestion.lake.tables import make_lake

    directory = Path(job.directory)
    settings = load_settings(
        directory, {"FLEETFLOW_LOADER_DSN": job.loader_dsn, "FLEETFLOW_RAW_BUCKET": job.directory}
    )
    files = fs.LocalFileSystem()
    lake = make_lake(open_catalog(settings), f"file://{directory}/lake", files)
    lake.find(FEED.name)  # whatever is imported on the way is no part of the figure
    import ingestion.lake.compact  # noqa: F401

    idle = peak_mib()
    start, cpu = time.perf_counter(), time.process_time()
    steps: dict[str, float] = {}
    rounds = list(compact(settings, lake=lake, raw_files=files, step=_timed(steps)))
    seconds = time.perf_counter() - start
    intakes = [result.intake for done in rounds for result in done.feeds]
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "rounds": len(rounds),
        "files": sum(result.files for done in rounds for result in done.feeds),
        "file_bytes": sum(result.size_bytes for done in rounds for result in done.feeds),
        "read": sum(intake.rows_read for intake in intakes),
        "added": sum(intake.rows_added for intake in intakes),
        "idle_mib": idle,
        "peak_mib": peak_mib(),
        "step_seconds": {name: round(value, 3) for name, value in steps.items()},
    }


def _timed(steps: dict[str, float]) -> Any:
    """Return a step watch that adds up the time until each step."""
    last = [time.perf_counter()]

    def step(name: str) -> None:
        if name != "file_written":
            now = time.perf_counter()
            steps[name] = steps.get(name, 0.0) + now - last[0]
            last[0] = now

    return step


def measure_limit(directory: Path, rows: int, seed: int) -> dict[str, float]:
    """Write the same rows as bare Parquet, by one thread and by one a core; return rows a second, CPU time a row."""
    parts = [pa.concat_tables(group) for group in _groups(list(tables(min(rows, 2_000_000), seed)), 40)]
    total = sum(part.num_rows for part in parts)

    def write(number: int) -> None:
        words = ["tenant_id", "vehicle_id", "driver_id", "schema_version"]
        path = directory / f"limit-{number}.parquet"
        pq.write_table(parts[number], path, compression="zstd", compression_level=3, use_dictionary=words)
        path.unlink()

    def speed(threads: int) -> float:
        start = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(write, range(len(parts))))
        return float(total / (time.perf_counter() - start))

    cpu = time.process_time()
    one_thread = speed(1)
    cpu_us = (time.process_time() - cpu) / total * 1e6
    return {"one_thread": one_thread, "all_cores": speed(os.cpu_count() or 1), "cpu_us_per_row": cpu_us}


def _groups(items: list[pa.Table], size: int) -> list[list[pa.Table]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def run_bench(settings: Settings, rows: int = 4_000_000, runs: int = 3) -> dict[str, Any]:
    """Compact `rows` rows `runs` times, the limit beside each; return medians and every run."""
    results = []
    for seed in range(runs):
        with scratch_warehouse(settings.dsn("owner")) as database, tempfile.TemporaryDirectory() as name:
            loader = with_database(settings.dsn("loader"), database)
            size = write_objects(loader, Path(name), rows, seed)
            limit = measure_limit(Path(name), rows, seed)
            results.append(
                _figures(_in_a_process(Job(loader, name)), limit)
                | {"raw_bytes_per_row": round(size / rows, 1)}
            )
    numbers = [key for key, value in results[0].items() if not isinstance(value, dict)]
    median = {key: statistics.median(run[key] for run in results) for key in numbers}
    return {"benchmark": "compaction", "rows": rows, "median": median, "runs": results}


def _figures(done: dict[str, Any], limit: dict[str, float]) -> dict[str, Any]:
    per_s = done["read"] / done["seconds"]
    return {
        "rows_per_s": round(per_s),
        "limit_one_thread_per_s": round(limit["one_thread"]),
        "limit_all_cores_per_s": round(limit["all_cores"]),
        "share_of_limit": round(per_s / limit["all_cores"], 3),
        "cpu_us_per_row": round(done["cpu_seconds"] / done["read"] * 1e6, 2),
        "limit_cpu_us_per_row": round(limit["cpu_us_per_row"], 2),
        "rows_repeated": done["read"] - done["added"],
        "commits": done["rounds"],
        "files": done["files"],
        "lake_bytes_per_row": round(done["file_bytes"] / done["added"], 1),
        "idle_mib": round(done["idle_mib"]),
        "peak_mib": round(done["peak_mib"]),
        "step_seconds": done["step_seconds"],
    }


def _in_a_process(job: Job) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "fleetflow.bench.compaction"],
        input=json.dumps(asdict(job)), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"the measured compaction failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    print(json.dumps(compact_once(Job(**json.load(sys.stdin)))))
