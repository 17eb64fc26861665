"""How fast one worker lands, with every guarantee on, beside what the machine can do at all.

The work: gps_location events of about 300 bytes (0.5 % invalid), newline-joined into records of 100 KB that lie in
memory, landed by the real worker in a process of its own: leases, announced cuts, decode, Parquet objects (to disk),
COPY, ledger, rejects, checkpoint. The limit, in the same run: COPY (binary) of the same rows, encoded beforehand,
then a bare Parquet write of them.
"""

from __future__ import annotations

import io
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from domain.contracts import FEEDS
from domain.contracts.decode import Decoder
from fleetflow.bench.scratch import scratch_warehouse, with_database
from fleetflow.settings import Settings

STREAM = "bench-gps"
SHARDS = 4
_RECORD_BYTES = 100_000
_INVALID_SHARE = 0.005
_FIRST = 10**20


@dataclass(frozen=True)
class Job:
    """What the measured process is told on its standard input."""

    loader_dsn: str
    events: int
    seed: int
    directory: str
    flush_rows: int


def events(count: int, seed: int) -> list[bytes]:
    """Make seeded gps_location lines; some have an impossible latitude."""
    rnd = random.Random(seed)
    now = int(time.time() * 1000)
    return [_event(rnd, now, i) for i in range(count)]


def _event(rnd: random.Random, now: int, i: int) -> bytes:
    lat = 190.0 if rnd.random() < _INVALID_SHARE else rnd.uniform(-60, 60)
    return (
        b'{"feed":"gps_location","tenant_id":"acme","event_id":"%016x","recorded_at":%d,"schema_version":1,'
        b'"vehicle_id":"veh-%05d","driver_id":"drv-%05d","fixed_at":%d,"lat":%.5f,"lon":%.5f,"speed_kmh":%.1f,'
        b'"heading_deg":%d,"odometer_km":%.1f,"ignition_on":true}'
    ) % (
        rnd.getrandbits(64),
        now + i // 100,
        i % 5000,
        i % 5000,
        now - 900 + i // 100,
        lat,
        rnd.uniform(-170, 170),
        rnd.uniform(0, 120),
        i % 360,
        120_000 + i * 0.1,
    )


def write_records(path: Path, count: int, seed: int) -> None:
    """Write the joined records behind each other, and their lengths beside them."""
    lines = events(count, seed)
    per_record = max(1, _RECORD_BYTES // (len(lines[0]) + 1))
    joined = [b"\n".join(lines[i : i + per_record]) for i in range(0, len(lines), per_record)]
    path.write_bytes(b"".join(joined))
    path.with_suffix(".json").write_text(json.dumps([len(data) for data in joined]))


class MemoryKinesis:
    """Records in the machine's page cache behind the three calls that a landing worker makes: next to no cost.

    They are read, not held, so that the process's own memory is the worker's.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._arrived = datetime.now(UTC)
        lengths = json.loads(path.with_suffix(".json").read_text())
        places = list(zip(np.cumsum([0, *lengths[:-1]]).tolist(), lengths, strict=True))
        self._shards = {f"shard-{n}": list(enumerate(places))[n::SHARDS] for n in range(SHARDS)}

    def list_shards(self, **_: Any) -> dict[str, Any]:
        """List the shards."""
        return {"Shards": [{"ShardId": shard} for shard in self._shards]}

    def get_shard_iterator(self, **named: Any) -> dict[str, str]:
        """Open a shard after a sequence number."""
        shard, after = named["ShardId"], int(named.get("StartingSequenceNumber", 0)) - _FIRST
        at = sum(number <= after for number, _ in self._shards[shard])
        return {"ShardIterator": f"{shard}:{at}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803
        """Give at most 10 MB, as Kinesis does; a shard that is read out is closed."""
        shard, at = ShardIterator.rsplit(":", 1)
        start, entries = int(at), self._shards[shard]
        end = min(start + min(Limit, 100), len(entries))
        more = end < len(entries)
        records = [self._record(number, place) for number, place in entries[start:end]]
        answer: dict[str, Any] = {"Records": records, "MillisBehindLatest": 5000 if more else 0}
        return answer | ({"NextShardIterator": f"{shard}:{end}"} if more else {})

    def _record(self, number: int, place: tuple[int, int]) -> dict[str, Any]:
        data = os.pread(self._file.fileno(), place[1], place[0])
        return {
            "SequenceNumber": str(_FIRST + number),
            "Data": data,
            "ApproximateArrivalTimestamp": self._arrived,
        }


class DiskBucket:
    """Objects as files, so that the machine's own work is measured and not a stand-in's."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put_object(self, *, Key: str, Body: bytes, **_: Any) -> None:  # noqa: N803
        """Write one object."""
        path = self._directory / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)


def land_once(job: Job) -> dict[str, float]:
    """Land all events of a job in this process; return seconds, counts and the growth of its memory in MiB."""
    from fleetflow.runtime import connect
    from ingestion.landing.lander import FlushLimits
    from ingestion.landing.metrics import Metrics
    from ingestion.landing.worker import LandingPlan, Worker

    kinesis = MemoryKinesis(Path(job.directory) / "records")
    plan = LandingPlan(
        worker=f"bench-{job.seed}",
        streams={f"{STREAM}-{job.seed}": [FEEDS["gps_location"]]},
        bucket="bench",
        limits=FlushLimits(job.flush_rows, 32 << 20, 3.0),
        lease_s=15,
    )
    bucket = DiskBucket(Path(job.directory))
    worker = Worker(plan, kinesis, bucket, job.loader_dsn, lambda: connect(job.loader_dsn), Metrics())

    def stop_when_done(running: Worker) -> None:
        if running.tally.events >= job.events:
            running.stop()

    start, cpu = time.perf_counter(), time.process_time()
    worker.run(on_tick=stop_when_done, tick_s=0.02)
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "accepted": worker.tally.accepted,
        "rejected": worker.tally.rejected,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return this process's own peak; getrusage would count the parent's at the time of the fork."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def measure_limit(dsn: str, count: int, seed: int) -> dict[str, float]:
    """Measure COPY of encoded rows, then a bare Parquet write of them, one after the other."""
    lines = events(count, seed)
    arrived = np.asarray([int(time.time() * 1_000_000)], dtype=np.int64)
    table = Decoder([FEEDS["gps_location"]]).decode([lines], arrived).rows[0].table
    rows = table.append_column("batch_id", pa.array(np.zeros(table.num_rows, np.int64)))
    rows = rows.append_column("line", pa.array(np.arange(table.num_rows, dtype=np.int32)))
    rows = rows.append_column(
        "arrived_at", pa.array(np.full(table.num_rows, arrived[0])).cast(pa.timestamp("us", "UTC"))
    )
    encoded = _encoded(dsn, rows)
    with psycopg.connect(dsn) as conn:
        copy = _seconds(lambda: _copy(conn, encoded))
    parquet = _seconds(lambda: pq.write_table(table, io.BytesIO(), compression="zstd", compression_level=3))
    return {"rows": table.num_rows, "copy_s": copy, "parquet_s": parquet}


def _encoded(dsn: str, rows: pa.Table) -> list[bytes]:
    """Return the rows as binary COPY data, made by Postgres itself."""
    import adbc_driver_postgresql.dbapi as adbc

    with adbc.connect(dsn) as conn, conn.cursor() as cursor:
        cursor.execute("create table public.bench_rows (like landing.gps_location)")
        cursor.adbc_ingest("bench_rows", rows, mode="append", db_schema_name="public")
        conn.commit()
    with psycopg.connect(dsn) as conn:
        query = "copy public.bench_rows to stdout (format binary)"
        with conn.cursor().copy(query) as copy:
            chunks = [bytes(chunk) for chunk in copy]
        conn.execute("drop table public.bench_rows")
    return [b"".join(chunks[i : i + 2000]) for i in range(0, len(chunks), 2000)]


def _copy(conn: psycopg.Connection[tuple[Any, ...]], encoded: list[bytes]) -> None:
    with conn.cursor().copy("copy landing.gps_location from stdin (format binary)") as copy:
        for chunk in encoded:
            copy.write(chunk)
    conn.commit()


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run_bench(
    settings: Settings, count: int = 1_000_000, runs: int = 3, flush_rows: int = 25_000
) -> dict[str, Any]:
    """Land `count` events `runs` times, the limit beside each; return medians and every run."""
    results = []
    with scratch_warehouse(settings.dsn("owner")) as database:
        loader = with_database(settings.dsn("loader"), database)
        for seed in range(runs):
            with tempfile.TemporaryDirectory() as directory:
                write_records(Path(directory) / "records", count, seed)
                landed = _in_a_process(Job(loader, count, seed, directory, flush_rows))
            limit = measure_limit(with_database(settings.dsn("owner"), database), min(count, 500_000), seed)
            results.append(_figures(count, landed, limit))
    median = {key: statistics.median(run[key] for run in results) for key in results[0]}
    return {
        "benchmark": "landing",
        "events": count,
        "event_bytes": len(events(1, 0)[0]),
        "median": median,
        "runs": results,
    }


def _figures(count: int, landed: dict[str, float], limit: dict[str, float]) -> dict[str, float]:
    limit_per_s = limit["rows"] / (limit["copy_s"] + limit["parquet_s"])
    per_s = count / landed["seconds"]
    return {
        "events_per_s": round(per_s),
        "limit_per_s": round(limit_per_s),
        "share_of_limit": round(per_s / limit_per_s, 3),
        "copy_per_s": round(limit["rows"] / limit["copy_s"]),
        "parquet_per_s": round(limit["rows"] / limit["parquet_s"]),
        "worker_cpu_us_per_event": round(landed["cpu_seconds"] / count * 1e6, 2),
        "workerpeak_mib": round(landed["peak_mib"]),
        "rejected": landed["rejected"],
    }


def _in_a_process(job: Job) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "fleetflow.bench.landing"],
        input=json.dumps(asdict(job)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the measured worker failed: {done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


if __name__ == "__main__":
    print(json.dumps(land_once(Job(**json.load(sys.stdin)))))
